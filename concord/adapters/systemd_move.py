"""Moving units: ask for a job each, wait for each job's own end, then look whether it did what was wanted.

A target's job ends within milliseconds, while its members still run; and a job that is `done` may have started what
has died since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from concord.adapters.systemd_bus import BusError, SystemdBus
from concord.adapters.systemd_unit import activity_of, detail_of, reason_of
from concord.errors import SupervisorDownError, SupervisorRefusedError, UnknownDaemonError
from concord.model.daemon import TARGET, Activity, Verb, unit_name

_METHODS: Final = {Verb.START: "StartUnit", Verb.STOP: "StopUnit", Verb.RESTART: "RestartUnit"}
REFUSED: Final = (
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
)
UNKNOWN: Final = {
    "org.freedesktop.systemd1.NoSuchUnit": "not-found",
    "org.freedesktop.systemd1.UnitMasked": "masked",
}
# What a unit cannot be without.
_NEEDS: Final = ("Requires", "Requisite", "BindsTo")
_MOVING: Final = (Activity.STARTING, Activity.STOPPING)
_PAUSE: Final = 0.1
# When time is up, this long is left to find out what it was spent on.
REPORT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A daemon that is not what it should be, and the unit whose fault that is: its own, or one it needs."""

    daemon: str
    unit: str
    state: str  # activating (start)
    cause: str
    is_late: bool = False


class Move:
    """One request to systemd."""

    def __init__(self, bus: SystemdBus, verb: Verb, names: Sequence[str], *, whole: bool) -> None:
        """With `whole` the target goes along, so that systemd too calls the service as a whole started or stopped."""
        self._bus = bus
        self._verb = verb
        self._names = names
        self._whole = whole
        self._jobs: dict[str, str] = {}
        self._had_failed: set[str] = set()
        self._failures: dict[str, Shortfall] = {}

    async def run(self, timeout: float) -> list[Shortfall]:  # noqa: ASYNC109 - one limit for all of the steps
        """Until the move is over for every daemon; those that did not make it. Raises as `Supervisor` says."""
        try:
            async with asyncio.timeout(timeout):
                return await self._move()
        except TimeoutError:
            return await self._report()

    async def _move(self) -> list[Shortfall]:
        await self._bus.follow_jobs()
        for name in self._names:
            # Before anything moves, every name is known to be right.
            await self._prepare(name)
        await self._ask_all()
        await asyncio.gather(*map(self._follow, self._names), *map(self._bus.result, self._jobs.values()))
        return await self._judge_all(self._judge_stopped if self._verb is Verb.STOP else self._judge_started)

    async def _prepare(self, name: str) -> None:
        unit = await self._bus.unit(unit_name(name))
        if activity_of(unit) is Activity.ABSENT:
            raise _unknown(name, unit["LoadState"])
        if activity_of(unit) is Activity.FAILED:
            self._had_failed.add(name)
        if self._verb is not Verb.STOP and unit["ActiveState"] == "failed":
            await self._call("ResetFailedUnit", unit["Id"])

    async def _ask_all(self) -> None:
        """A job for each unit. Some may have ended already when we learn their numbers."""
        asked = [(_METHODS[self._verb], unit_name(name)) for name in self._names]
        if self._whole and self._verb is Verb.RESTART:
            # Restarting the target would restart its members a second time.
            asked.append(("StartUnit", TARGET))
        elif self._whole:
            asked.insert(0, (_METHODS[self._verb], TARGET))
        for method, unit in asked:
            [self._jobs[unit]] = await self._call(method, unit, "replace")

    async def _call(self, method: str, unit: str, *mode: str) -> list[Any]:
        try:
            return await self._bus.manager(method, "s" * (1 + len(mode)), unit, *mode)
        except BusError as error:
            raise self._translated(error, unit) from error

    # How it ended.

    async def _judge_all(self, judge: Callable[[str], Awaitable[Shortfall | None]]) -> list[Shortfall]:
        judged = [await judge(name) for name in self._names]
        return [shortfall for shortfall in judged if shortfall]

    async def _follow(self, name: str) -> None:
        """Note why a start failed as soon as its job ends: once systemd starts the unit again, its Result is gone."""
        result = await self._bus.result(self._jobs[unit_name(name)])
        if self._verb is not Verb.STOP and result != "done" and (shortfall := await self._judge_started(name)):
            self._failures[name] = shortfall

    async def _judge_started(self, name: str) -> Shortfall | None:
        unit = await self._bus.unit(unit_name(name))
        result = self._bus.ended(self._jobs[unit_name(name)])
        if activity_of(unit) is Activity.RUNNING:
            return None
        if name in self._failures:
            return self._failures[name]
        if result == "dependency" and (needed := await self._needed(unit, Activity.FAILED)):
            return _shortfall(name, needed, f"it needs {needed['Id']}, which failed: {detail_of(needed)}")
        return _shortfall(name, unit, reason_of(unit) or _RESULTS.get(result, f"systemd's job ended as '{result}'"))

    async def _judge_stopped(self, name: str) -> Shortfall | None:
        unit = await self._bus.unit(unit_name(name))
        while await self._bus.processes(unit["Id"]):
            if self._bus.ended(self._jobs[unit_name(name)]) == "canceled":
                return _shortfall(name, unit, _RESULTS["canceled"])
            await asyncio.sleep(_PAUSE)
        if name in self._had_failed and unit["ActiveState"] == "failed":
            # systemd leaves it at that; whoever stopped it has seen that it had failed.
            await self._call("ResetFailedUnit", unit["Id"])
        return None

    async def _needed(self, unit: dict[str, Any], activity: Activity) -> dict[str, Any] | None:
        """A unit that this one needs, and that is in this state."""
        for name in {needed: None for kind in _NEEDS for needed in unit[kind]}:
            needed = await self._bus.unit(name)
            if activity_of(needed) is activity:
                return needed
        return None

    # Time is up.

    async def _report(self) -> list[Shortfall]:
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                return await self._judge_all(self._judge_late)
        except TimeoutError as error:
            raise SupervisorDownError("systemd", cause="it takes no calls") from error

    async def _judge_late(self, name: str) -> Shortfall | None:
        unit = await self._bus.unit(unit_name(name))
        activity = activity_of(unit)
        if self._verb is Verb.STOP:
            left = await self._bus.processes(unit["Id"])
            return _shortfall(name, unit, f"{len(left)} of its processes are left", is_late=True) if left else None
        if self._bus.ended(self._jobs.get(unit_name(name), "")):
            return await self._judge_started(name)
        if activity not in _MOVING and (needed := await self._needed(unit, Activity.STARTING)):
            return _shortfall(name, needed, f"it waits for {needed['Id']}: {detail_of(needed)}", is_late=True)
        return _shortfall(name, unit, detail_of(unit) or "it is not ready yet", is_late=True)

    # No.

    def _translated(self, error: BusError, unit: str) -> Exception:
        daemon = next((name for name in self._names if unit_name(name) == unit), unit)
        if error.name in REFUSED:
            return SupervisorRefusedError("systemd", daemon=daemon, verb=self._verb)
        if error.name in UNKNOWN:
            return _unknown(daemon, UNKNOWN[error.name])
        return SupervisorDownError("systemd_failed", daemon=daemon, verb=self._verb, cause=error)


_RESULTS: Final = {
    "done": "it ended as soon as it had started",
    "failed": "it did not start",
    "canceled": "somebody asked systemd for something else meanwhile",
    "timeout": "systemd's own time limit for the job was over",
    "dependency": "a unit that it needs did not start",
    "skipped": "a condition of its unit does not hold",
    "unknown": "systemd lost track of it",
}


def _unknown(daemon: str, load_state: str) -> UnknownDaemonError:
    if load_state == "masked":
        return UnknownDaemonError("masked", daemon=daemon)
    return UnknownDaemonError("unit", daemon=daemon, unit=unit_name(daemon))


def _shortfall(name: str, unit: dict[str, Any], cause: str, *, is_late: bool = False) -> Shortfall:
    state = f"{unit['ActiveState']} ({unit['SubState']})"
    return Shortfall(daemon=name, unit=unit["Id"], state=state, cause=cause, is_late=is_late)
