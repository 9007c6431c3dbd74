"""What an operator must know first, gathered within seconds whatever hangs; one look serves all who watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from concord.bootstrap import Concord
from concord.manager.status import Status, Verdict
from concord.model.account import Account, AccountStatus
from concord.model.clock import HostClock
from concord.model.number import Latest
from concord.web.check import Check
from concord.web.findings import Finding, Sight, findings
from concord.web.health import Health, Probe
from concord.web.visitor import concord_of

_FRESH_SECONDS: Final = 2.0
_DAEMONS_SECONDS: Final = 2.0
_DAEMONS_FRESH_SECONDS: Final = 4.0
_NAMED: Final = 5
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_STEP: Final = 600
# What only the recorder sees, minute by minute.
_RECORDED: Final = ("redis.used", "redis.limit", "wait.poll")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it at one moment."""

    sight: Sight
    findings: list[Finding]
    figures: Mapping[str, float | None]

    @property
    def verdict(self) -> Literal["new", "bad", "warn", "ok"]:
        """`new` before there is a mailbox; then `bad`, `warn` or `ok`."""
        if any(one.serious for one in self.findings):
            return "bad"
        if self.sight.mailboxes == 0:
            return "new"
        return "warn" if self.needs_attention else "ok"

    @property
    def needs_attention(self) -> bool:
        """Whether something is wrong, and not only could be better."""
        return any(not one.advice for one in self.findings)

    @property
    def runs(self) -> bool:
        """Whether the mail service does what it should."""
        return self.sight.status is not None and self.sight.status.verdict is Verdict.WORKING


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """What the database says."""

    standing: Mapping[str, float]
    failing: list[tuple[Account, AccountStatus]]
    recorded: Latest
    day: Mapping[str, float | None]
    clocks: list[HostClock]


class Board:
    """Looks when somebody asks, and not more often than every two seconds."""

    def __init__(self, concord: Concord, health: Health) -> None:
        self._concord = concord
        self._health = health
        self._status: Status | None = None
        self._daemons = Probe(self._ask_daemons, seconds=_DAEMONS_SECONDS, fresh=_DAEMONS_FRESH_SECONDS)
        self._last: tuple[float, Overview] | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> Overview:
        """Raises DatabaseDownError: without it there is nothing to show."""
        async with self._looking:
            if self._last is None or time.monotonic() - self._last[0] > _FRESH_SECONDS:
                self._last = (time.monotonic(), await self._seen())
            return self._last[1]

    async def _seen(self) -> Overview:
        checks, daemons, counted = await asyncio.gather(
            self._health.look(), self._daemons.ask(), run_in_threadpool(self._counted)
        )
        sight = Sight(
            at=datetime.now(UTC),
            checks=checks,
            daemons=daemons,
            status=self._status,
            figures={**counted.recorded.values, **counted.standing},
            failing=counted.failing,
            recorded=counted.recorded,
            clocks=counted.clocks,
        )
        return Overview(sight=sight, findings=findings(sight), figures={**sight.figures, **counted.day})

    def _ask_daemons(self) -> Check:
        self._status = self._concord.manager.status()
        return Check(ok=True, detail="They were asked")

    def _counted(self) -> _Counted:
        parts, now = self._concord, datetime.now(UTC)
        day = parts.numbers.read(["mail.archived"], since=now - _DAY, until=now, step=_STEP).values["mail.archived"]
        lag = parts.numbers.read(["lag.p95"], since=now - _HOUR, until=now, step=_STEP).values["lag.p95"]
        return _Counted(
            standing=parts.tally.standing(),
            failing=parts.accounts.failing(limit=_NAMED),
            recorded=parts.numbers.latest(_RECORDED),
            clocks=parts.host_clocks.skewed(),
            day={
                "day.mail.archived": sum(value or 0 for value in day),
                "hour.lag.p95": max((value for value in lag if value is not None), default=None),
            },
        )


def board_of(request: Request) -> Board:
    """The one of this process."""
    state = request.app.state
    if not hasattr(state, "board"):
        concord = concord_of(request)
        state.board = Board(concord, Health.of(concord))
    board: Board = state.board
    return board
