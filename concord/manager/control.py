"""One door for command line and web: an allow-list before every verb, proof after it, and who asked is written down."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from concord.auditing import audited
from concord.errors import ConcordError, NotConsumingError, NotSyncedError, QueueDownError
from concord.manager.lock import ToggleLock
from concord.manager.proof import Proof
from concord.manager.status import Status, look
from concord.manager.units import chosen
from concord.manager.worker_files import WorkerFiles
from concord.model.caller import Caller
from concord.model.daemon import BEAT, Verb, instance_of
from concord.model.progress import Told, untold
from concord.model.worker import WorkerConfig
from concord.ports import Audit, Clock, Pulse, Queue, Supervisor, SyncStats
from concord.settings import Settings

log = structlog.get_logger(__name__)

LOG_LINES: Final = 15
_NO_REDIS: Final = {
    Verb.START: "nothing_started",
    Verb.RESTART: "nothing_restarted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerPorts:
    """What the manager stands on. What may be away is made when it is needed, so that the rest works without it."""

    supervisor: Callable[[], Supervisor]
    pulse: Callable[[], Pulse]
    queue: Callable[[], Queue]
    audit: Callable[[], Audit]
    workers: WorkerFiles
    sync: Callable[[], SyncStats]
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a toggle did."""

    verb: Verb
    daemons: tuple[str, ...]
    seconds: float
    sync: SyncStats | None = None  # after a start


class Manager:
    """Starts, stops and watches Concord's own daemons, and no others."""

    def __init__(
        self,
        ports: ManagerPorts,
        settings: Settings,
        *,
        host: str | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ports = ports
        self._settings = settings
        self._host = host or socket.gethostname()
        self._pause = pause
        self._lock = ToggleLock(settings.service.run_directory, ports.clock, pause=pause)

    def start(self, only: str | None = None, *, by: Caller, told: Told = untold) -> Moved:
        """Until each daemon works; then the schedule is made equal to the accounts. Starting what runs is free.

        Raises QueueDownError and SettingsError before anything is started, DaemonFailedError with the last lines of the
        daemon that failed, NotConsumingError, NotSyncedError, ConflictError, UnknownDaemonError and
        SupervisorRefusedError.
        """
        return self._toggle(Verb.START, only, by, told)

    def stop(self, only: str | None = None, *, by: Caller, told: Told = untold) -> Moved:
        """Warm: running tasks get their time, nothing is lost. Works whatever else is down. Raises as `start`."""
        return self._toggle(Verb.STOP, only, by, told)

    def restart(self, only: str | None = None, *, by: Caller, told: Told = untold) -> Moved:
        """Stopped ones are started too. Raises as `start`."""
        return self._toggle(Verb.RESTART, only, by, told)

    def status(self) -> Status:
        """How all of it does. What cannot be asked is left open, and named."""
        return look(self._ports, self._settings, self._host)

    def log_tail(self, only: str | None, lines: int) -> dict[str, list[str]]:
        """The last lines of each daemon, oldest first. Raises UnknownDaemonError."""
        names = chosen(only, self._ports.workers.instances())
        return {name: self._ports.supervisor().log_tail(name, lines) for name in names}

    def _toggle(self, verb: Verb, only: str | None, by: Caller, told: Told) -> Moved:
        action = f"service.{verb}"
        with audited(self._ports.audit(), by, action, only or "all", clock=self._ports.clock):
            names = chosen(only, self._ports.workers.instances())
            with self._lock.held(verb, by.actor):
                log.info("service.asked", verb=verb.value, daemons=names, actor=by.actor, via=by.via)
                return self._move(verb, names, told)

    def _move(self, verb: Verb, names: Sequence[str], told: Told) -> Moved:
        began = self._ports.clock()
        stats = None
        if verb is Verb.STOP:
            told("stopping %(daemons)s: running tasks are finished first", daemons=", ".join(names))
            self._ports.supervisor().stop(names, timeout=self._settings.service.stop_timeout)
        else:
            stats = self._bring_up(verb, names, told)
        seconds = (self._ports.clock() - began).total_seconds()
        return Moved(verb=verb, daemons=tuple(names), seconds=seconds, sync=stats)

    def _bring_up(self, verb: Verb, names: Sequence[str], told: Told) -> SyncStats | None:
        configs = {name: self._ports.workers.config(instance) for name in names if (instance := instance_of(name))}
        moves_mail = bool(configs) or BEAT in names
        if moves_mail:
            self._refuse_without_redis(verb)
        service = self._settings.service
        if verb is Verb.RESTART:
            told("restarting %(daemons)s", daemons=", ".join(names))
            self._ports.supervisor().restart(names, timeout=service.stop_timeout + service.start_timeout)
        else:
            told("starting %(daemons)s", daemons=", ".join(names))
            self._ports.supervisor().start(names, timeout=service.start_timeout)
        if not moves_mail:
            return None
        self._prove(configs, beat=BEAT in names, told=told)
        told("making the schedule equal to the accounts")
        return self._sync()

    def _sync(self) -> SyncStats:
        try:
            return self._ports.sync()
        except ConcordError as error:
            raise NotSyncedError(cause=error) from error

    def _refuse_without_redis(self, verb: Verb) -> None:
        """Better nothing than daemons that only wait."""
        try:
            self._ports.queue().depth()
        except QueueDownError as error:
            raise QueueDownError(_NO_REDIS[verb], cause=error.facts.get("cause")) from error

    def _prove(self, configs: dict[str, WorkerConfig], *, beat: bool, told: Told) -> None:
        timeout = self._settings.service.canary_timeout
        proof = Proof(pulse=self._ports.pulse(), host=self._host, clock=self._ports.clock, pause=self._pause)
        try:
            proof.wait(configs, beat=beat, timeout=timeout, told=told)
        except NotConsumingError as error:
            first = str(error.facts["daemon"]).partition(",")[0]
            with suppress(ConcordError):
                error.log = tuple(self._ports.supervisor().log_tail(first, LOG_LINES))
            raise
