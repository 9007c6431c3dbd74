"""Moving units over D-Bus: what is known of a job that failed, when another takes longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from concord.adapters.systemd_move import Move, Shortfall
from concord.model.daemon import Verb, unit_name

RUNNING = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success"}
FAILED = {"LoadState": "loaded", "ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
STARTS_AGAIN = {"LoadState": "loaded", "ActiveState": "activating", "SubState": "start", "Result": "success"}


class FakeBus:
    """systemd with two units: the first fails at once, and is what `later` says when the second one's job ends."""

    def __init__(self, later: Mapping[str, Any]) -> None:
        self._units: dict[str, Mapping[str, Any]] = {}
        self._results: dict[str, str] = {}
        self._later = later

    async def follow_jobs(self) -> None:
        pass

    async def unit(self, unit: str) -> dict[str, Any]:
        kinds: dict[str, Any] = {"Requires": [], "Requisite": [], "BindsTo": [], "ExecMainStatus": 7}
        return {"Id": unit, **kinds, **self._units.get(unit, RUNNING)}

    async def manager(self, _member: str, _signature: str, unit: str, *_mode: str) -> list[str]:
        return [f"job of {unit}"]

    async def result(self, job: str) -> str:
        first = unit_name("worker@mail")
        if first in job:
            self._units[first] = FAILED
            self._results[job] = "failed"
        else:
            await asyncio.sleep(0.01)
            self._units[first] = self._later
            self._results[job] = "done"
        return self._results[job]

    def ended(self, job: str) -> str:
        return self._results.get(job, "")


def shortfalls(later: Mapping[str, Any]) -> list[Shortfall]:
    move = Move(FakeBus(later), Verb.START, ["worker@mail", "beat"], whole=False)  # type: ignore[arg-type]  # a fake
    return asyncio.run(move.run(timeout=5))


def test_cause_of_a_failed_start_is_known_although_systemd_starts_the_unit_again_meanwhile() -> None:
    """RestartSec= is over before the slowest job is; then Result says `success`, and ActiveState `activating`."""
    assert [one.cause for one in shortfalls(STARTS_AGAIN)] == ["its process ended with status 7"]


def test_unit_that_runs_in_the_end_is_no_shortfall() -> None:
    assert shortfalls(RUNNING) == []
