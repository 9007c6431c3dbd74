"""The daemons under systemd: started and stopped over D-Bus, never by a command; only the journal is read by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from concord.adapters.processes import PROC, proportional
from concord.adapters.systemd_adopt import Adoption
from concord.adapters.systemd_bus import BusError, SystemdBus, systemd_bus
from concord.adapters.systemd_journal import SystemdJournal
from concord.adapters.systemd_move import Move, Shortfall
from concord.adapters.systemd_unit import NOT_SET, state_of
from concord.errors import DaemonFailedError, SupervisorRefusedError, UnknownDaemonError
from concord.model.daemon import SETTLE, TARGET, Activity, DaemonState, Verb, unit_name

LOG_LINES: Final = 15
BOOTED: Final = Path("/run/systemd/system")

_FAILED: Final = {Verb.START: "start_failed", Verb.STOP: "stop_failed", Verb.RESTART: "restart_failed"}
_LATE: Final = {Verb.START: "start_late", Verb.STOP: "stop_late", Verb.RESTART: "restart_late"}


def is_booted() -> bool:
    """Whether systemd runs this machine (sd_booted(3)); its files may lie about all the same."""
    return BOOTED.is_dir()


def reload() -> None:
    """Let systemd read its unit files anew, if it runs. Raises SupervisorDownError, SupervisorRefusedError."""
    if is_booted():
        SystemdSupervisor(list).reload()


class SystemdSupervisor:
    """`Supervisor` by systemd. Each call has a connection and an event loop of its own: any thread may call."""

    kind = "systemd"

    def __init__(
        self,
        members: Callable[[], Sequence[str]],
        *,
        address: str | None = None,
        journal: SystemdJournal | None = None,
        proc: Path = PROC,
    ) -> None:
        """`members` are the daemons of the target: who moves all of them moves the target as well.

        Without an address it is the system bus, which $DBUS_SYSTEM_BUS_ADDRESS may name. `journal` and `proc` are of
        another machine where the address is.
        """
        self._members = members
        self._address = address
        self._journal = journal or SystemdJournal()
        self._proc = proc

    def states(self, names: Sequence[str]) -> list[DaemonState]:
        return asyncio.run(self._states(names))

    def start(self, names: Sequence[str], *, timeout: float) -> None:
        self._move(Verb.START, names, timeout)

    def stop(self, names: Sequence[str], *, timeout: float) -> None:
        self._move(Verb.STOP, names, timeout)

    def restart(self, names: Sequence[str], *, timeout: float) -> None:
        self._move(Verb.RESTART, names, timeout)

    def log_tail(self, name: str, lines: int) -> list[str]:
        found = self._journal.tail(unit_name(name), lines)
        # A daemon that was taken away may still have its lines.
        if not found and self.states([name])[0].activity is Activity.ABSENT:
            raise UnknownDaemonError("unit", daemon=name, unit=unit_name(name))
        return found

    def adopt(self, instances: Sequence[str]) -> None:
        since = time.time()
        try:
            asyncio.run(Adoption(self._address, instances).run())
        except DaemonFailedError as error:
            error.log = tuple(self._journal.last_words(SETTLE, LOG_LINES, since))
            raise

    def target(self) -> str:
        """How systemd has Concord's target: `loaded`, `masked` or `not-found`. Raises SupervisorDownError."""
        return asyncio.run(self._target())

    def reload(self) -> None:
        """Let systemd read its unit files anew. Raises SupervisorDownError, SupervisorRefusedError."""
        asyncio.run(self._reload())

    async def _reload(self) -> None:
        async with systemd_bus(self._address) as bus:
            try:
                await bus.manager("Reload")
            except BusError as error:
                raise SupervisorRefusedError("reload", cause=error) from error

    async def _target(self) -> str:
        async with systemd_bus(self._address) as bus:
            return str((await bus.unit(TARGET))["LoadState"])

    async def _states(self, names: Sequence[str]) -> list[DaemonState]:
        async with systemd_bus(self._address) as bus:
            return [await self._state(bus, name) for name in names]

    async def _state(self, bus: SystemdBus, name: str) -> DaemonState:
        unit = await bus.unit(unit_name(name))
        memory = None
        if unit.get("MainPID") and unit.get("MemoryCurrent", NOT_SET) == NOT_SET:
            memory = proportional(await bus.processes(unit["Id"]), self._proc)
        return state_of(name, unit, memory)

    def _move(self, verb: Verb, names: Sequence[str], timeout: float) -> None:
        since = time.time()
        shortfalls = asyncio.run(self._run(verb, names, timeout))
        if shortfalls:
            raise self._failure(verb, shortfalls, timeout, since)

    async def _run(self, verb: Verb, names: Sequence[str], timeout: float) -> list[Shortfall]:  # noqa: ASYNC109
        members = set(self._members())
        whole = bool(members) and members <= set(names)
        async with systemd_bus(self._address) as bus:
            return await Move(bus, verb, names, whole=whole).run(timeout)

    def _failure(self, verb: Verb, shortfalls: list[Shortfall], timeout: float, since: float) -> DaemonFailedError:
        """One error for all that fell short. A unit whose fault it is more than once is told once."""
        is_late = all(one.is_late for one in shortfalls)
        culprits = {one.unit: one for one in shortfalls}
        several = len(culprits) > 1
        log = [
            f"{unit}: {line}" if several else line
            for unit in culprits
            for line in self._journal.last_words(unit, LOG_LINES, since)
        ]
        return DaemonFailedError(
            _LATE[verb] if is_late else _FAILED[verb],
            log=tuple(log),
            daemon=", ".join(one.daemon for one in shortfalls),
            after=f"{timeout:.0f} s" if is_late else None,
            state=", ".join(dict.fromkeys(one.state for one in culprits.values())),
            cause="; ".join(f"{unit}: {one.cause}" if several else one.cause for unit, one in culprits.items()),
            units=" -u ".join(culprits),
        )
