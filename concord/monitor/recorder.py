"""A minute's numbers, as minutes end: what happened in it by what the tables say, and how things stand.

What happened is counted afterwards too, where nobody recorded for a while; how things stood then nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from concord.errors import InfrastructureError
from concord.model.number import COUNTED, HOUR, MINUTE, SAMPLED, floored
from concord.monitor.account_numbers import account_numbers
from concord.ports import Accounts, Clock, Numbers, Queue, Tally

log = structlog.get_logger(__name__)

# A step is written with the time at which its transaction began, a little before others can see it.
SETTLED: Final = timedelta(seconds=10)
# What was missed longer ago than this stays a gap.
CATCH_UP: Final = timedelta(hours=3)

_ONE: Final = timedelta(seconds=MINUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Asks everything once a minute. Doing it twice within a minute changes nothing."""

    numbers: Numbers
    tally: Tally
    accounts: Accounts
    queue: Queue
    poll_interval: Callable[[], int]  # seconds, of accounts that have none of their own
    clock: Clock

    def record(self) -> int:
        """Record every minute that ended since the last; how many."""
        newest = floored(self.clock() - SETTLED, MINUTE) - _ONE
        last = self.numbers.last()
        minute = newest if last is None else max(last + _ONE, newest - CATCH_UP)
        recorded = 0
        while minute <= newest:
            now = self._sampled(minute, last) if minute == newest else {}
            self.numbers.record(minute, self._counted(minute) | now)
            recorded += 1
            minute += _ONE
        if recorded and _begins_hour(newest, last):
            self.numbers.prune(self.clock())
        return recorded

    def _counted(self, minute: datetime) -> dict[str, float]:
        return {COUNTED: 1.0, **self.tally.happened(minute, minute + _ONE)}

    def _sampled(self, minute: datetime, last: datetime | None) -> dict[str, float]:
        found = self.tally.standing() | account_numbers(
            self.accounts.all(), self.accounts.statuses(), now=self.clock(), default_interval=self.poll_interval()
        )
        totals = _asked(self.tally.totals) if _begins_hour(minute, last) else {}
        return {SAMPLED: 1.0, **found, **_asked(self._redis), **totals}

    def _redis(self) -> dict[str, float]:
        waiting = {f"queue.{name}": float(count) for name, count in self.queue.depth().items()}
        memory = self.queue.memory()
        return waiting | {"redis.used": float(memory.used), "redis.limit": float(memory.limit)}


def _asked(question: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    """What cannot be asked just now is missing in this minute, and the rest is not."""
    try:
        return question()
    except InfrastructureError as error:
        log.warning("numbers.missing", error=error)
        return {}


def _begins_hour(minute: datetime, last: datetime | None) -> bool:
    return last is None or floored(minute, HOUR) > floored(last, HOUR)
