"""How the daemons do: what their supervisor, their own pulse and the queues say, put side by side.

Each of the three may be away; then what the others know is told, and what is not known is named with its cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from concord.errors import ConcordError, QueueDownError
from concord.manager.proof import queue_of
from concord.manager.units import members
from concord.model.daemon import ADMIN, BEAT, Activity, DaemonState, instance_of, unit_name
from concord.model.worker import WorkerConfig
from concord.ports import WorkerPulse
from concord.settings import Settings

if TYPE_CHECKING:
    from concord.manager.control import ManagerPorts

T = TypeVar("T")
# A canary goes out every canary_interval, and its answer is told with the next one.
_PULSES: Final = 3


class Verdict(StrEnum):
    """The whole in one word; the command's exit code follows from it."""

    WORKING = "working"
    DEGRADED = "degraded"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonRow:
    """One daemon of this host. None: it is not known, or does not apply."""

    name: str
    unit: str
    activity: Activity | None = None
    since: datetime | None = None
    pid: int | None = None
    memory: int | None = None  # octets
    tasks: int | None = None  # since it started
    queue: str | None = None  # the one it reads
    waiting: int | None = None  # tasks in that queue
    last_tick: datetime | None = None
    works: bool | None = None  # proved; None where there is no proof either way
    outdated: tuple[str, ...] = ()  # settings of its file that hold from its next start
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that could not be asked, or that is wrong, and what to do."""

    what: str
    error: ConcordError


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All of it at one moment."""

    at: datetime
    supervisor: str | None
    verdict: Verdict
    daemons: tuple[DaemonRow, ...]
    elsewhere: tuple[WorkerPulse, ...]  # workers on other hosts
    unacked: int | None  # messages in workers' hands
    troubles: tuple[Trouble, ...]


def look(ports: ManagerPorts, settings: Settings, host: str) -> Status:
    """Ask all three."""
    return _Look(ports=ports, settings=settings, host=host).status()


@dataclass(kw_only=True)
class _Look:
    ports: ManagerPorts
    settings: Settings
    host: str
    troubles: list[Trouble] = field(default_factory=list)
    redis_is_away: bool = False

    def status(self) -> Status:
        now = self.ports.clock()
        names = [*members(self.ports.workers.instances()), ADMIN]
        kind = self._ask("service manager", lambda: self.ports.supervisor().kind)
        found = self._ask("service manager", lambda: self.ports.supervisor().states(names)) if kind else None
        states = {state.name: state for state in found or ()}
        pulses = self._ask_redis("workers", lambda: self.ports.pulse().workers())
        depths = self._ask_redis("queues", lambda: self.ports.queue().depth())
        tick = self._ask_redis("Beat", lambda: self.ports.pulse().last_tick())
        local = {one.instance: one for one in pulses or () if self._is_here(one)}
        rows = tuple(self._row(name, states.get(name), local, depths, tick, now) for name in names)
        return Status(
            at=now,
            supervisor=kind,
            verdict=_verdict(rows, blind=bool(self.troubles)),
            daemons=rows,
            elsewhere=tuple(one for one in pulses or () if not self._is_here(one)),
            unacked=(depths or {}).get("unacked"),
            troubles=tuple(self.troubles),
        )

    def _ask(self, what: str, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except ConcordError as error:
            self.redis_is_away = self.redis_is_away or isinstance(error, QueueDownError)
            # One Redis behind three questions is one trouble.
            if not any(one.error.is_like(error) for one in self.troubles):
                self.troubles.append(Trouble(what=what, error=error))
            return None

    def _ask_redis(self, what: str, question: Callable[[], T]) -> T | None:
        """Once it has not answered it is not asked again: whoever looks would wait as long for each question."""
        return None if self.redis_is_away else self._ask(what, question)

    def _is_here(self, pulse: WorkerPulse) -> bool:
        return pulse.node.partition("@")[2] == self.host

    def _row(
        self,
        name: str,
        state: DaemonState | None,
        pulses: dict[str, WorkerPulse],
        depths: dict[str, int] | None,
        tick: datetime | None,
        now: datetime,
    ) -> DaemonRow:
        instance = instance_of(name)
        pulse = pulses.get(instance or "")
        runs = state is not None and state.activity is Activity.RUNNING
        config = self._config(instance)
        queue = queue_of(config) if config else None
        return DaemonRow(
            name=name,
            unit=state.unit if state else unit_name(name),
            activity=state.activity if state else None,
            since=state.since if state else None,
            pid=state.pid if state else None,
            memory=_memory(state, pulse),
            tasks=pulse.tasks if pulse and (runs or state is None) else None,
            queue=queue,
            waiting=(depths or {}).get(queue or ""),
            last_tick=tick if name == BEAT else None,
            works=self._works(name, state, pulse, tick, now),
            outdated=config.outdated(pulse.limits) if config and pulse and pulse.limits and runs else (),
            detail=state.detail if state else "",
        )

    def _config(self, instance: str | None) -> WorkerConfig | None:
        if instance is None:
            return None
        return self._ask(f"worker@{instance}", lambda: self.ports.workers.config(instance))

    def _works(
        self, name: str, state: DaemonState | None, pulse: WorkerPulse | None, tick: datetime | None, now: datetime
    ) -> bool | None:
        if state is not None and state.activity is not Activity.RUNNING:
            return False
        if name == BEAT:
            proved, patience = tick, beat_patience(self.settings)
        elif instance_of(name):
            proved, patience = pulse.consumed_at if pulse else None, worker_patience(self.settings)
        else:
            return None if state is None else True
        if proved is not None and now - proved <= patience:
            return True
        young = state is not None and state.since is not None and now - state.since <= patience
        return None if young or self.troubles else False


def beat_patience(settings: Settings) -> timedelta:
    """How long Beat may be silent: a leader that died is followed by another after its lock's time."""
    return timedelta(seconds=settings.beat.lock_timeout + 3 * settings.beat.max_loop_interval)


def worker_patience(settings: Settings) -> timedelta:
    """How long a worker may let its canaries wait."""
    worker = settings.worker
    return timedelta(seconds=worker.deaf_after + _PULSES * worker.canary_interval)


def _memory(state: DaemonState | None, pulse: WorkerPulse | None) -> int | None:
    if state is not None and state.memory is not None:
        return state.memory
    return pulse.memory if pulse and (state is None or state.activity is Activity.RUNNING) else None


def _verdict(rows: tuple[DaemonRow, ...], *, blind: bool) -> Verdict:
    """Of the set, without the admin service. Where something could not be asked, nobody says that all works."""
    of_set = [row for row in rows if row.name != ADMIN]
    if all(row.activity is None for row in of_set):
        return Verdict.UNKNOWN
    if all(row.activity in (Activity.STOPPED, Activity.ABSENT) for row in of_set):
        return Verdict.STOPPED
    if not blind and all(row.activity is Activity.RUNNING and row.works is not False for row in of_set):
        return Verdict.WORKING
    return Verdict.DEGRADED
