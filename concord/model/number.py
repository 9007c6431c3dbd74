"""The numbers Concord keeps of itself, by minute and by hour: their names, and how minutes become a point of a plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Final

from concord.model.account import AccountState
from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.model.workflow import RunState

MINUTE: Final = 60
HOUR: Final = 3600
MOST_POINTS: Final = 400
MINUTES_KEPT: Final = timedelta(days=31)
HOURS_KEPT: Final = timedelta(days=396)

# Written in each minute: its past was counted; its present was looked at.
COUNTED: Final = "counted"
SAMPLED: Final = "sampled"

# The distances between two points that people read easily. From an hour on they are made of hours, which costs little:
# nothing between ten minutes and an hour, which would be thousands of minutes for a week.
_STEPS: Final = (60, 120, 300, 600, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


_UNITS: Final = {"lag": "seconds", "wait": "seconds", "redis": "octets"}


class Fold(StrEnum):
    """How the values of a span become one."""

    SUM = "sum"
    MEAN = "mean"
    MOST = "most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One thing that is counted or measured.

    A zero is not kept where `marker` says that there was a look: most are zero, most of the time. Without a marker a
    missing value is unknown.
    """

    name: str
    fold: Fold
    marker: str | None = None

    @property
    def unit(self) -> str:
        """`count`, `seconds` or `octets`."""
        return _UNITS.get(self.name.partition(".")[0], "count")


def _counted(*names: str) -> Iterable[Series]:
    """What happened within the minute: can be counted afterwards too."""
    return (Series(name=name, fold=Fold.SUM, marker=COUNTED) for name in names)


def _sampled(*names: str, fold: Fold = Fold.MOST) -> Iterable[Series]:
    """How things stood: nobody can look afterwards."""
    return (Series(name=name, fold=fold, marker=SAMPLED) for name in names)


def _measured(*names: str, fold: Fold = Fold.MOST) -> Iterable[Series]:
    """What may have no value at all."""
    return (Series(name=name, fold=fold) for name in names)


ACCOUNT_SERIES: Final = (*(f"account.{state.value}" for state in AccountState), "account.disabled")
TOTALS: Final = (
    *(f"total.mail.{state.value}" for state in MessageState),
    *(f"total.delivery.{state.value}" for state in DeliveryState),
    *(f"total.workflow.{state.value}" for state in RunState),
)

SERIES: Final[Mapping[str, Series]] = {
    series.name: series
    for series in chain(
        _measured(COUNTED, SAMPLED, fold=Fold.SUM),
        _counted("mail.archived", "mail.processed", "mail.skipped", "mail.quarantined", "mail.postponed"),
        _counted("event.made", "delivery.delivered", "delivery.failed", "delivery.dead"),
        _counted("workflow.succeeded", "workflow.failed"),
        # Seconds from a mail's first sight to its event: of half, and of all but one in twenty.
        _measured("lag.p50", fold=Fold.MEAN),
        _measured("lag.p95"),
        _sampled("poll.ok", "poll.failed", fold=Fold.SUM),
        _sampled("now.mail.waiting", "now.mail.unfetched", "now.mail.quarantined"),
        _sampled("now.mail.unaccounted", "now.mail.lost"),
        _sampled("now.delivery.waiting", "now.delivery.dead", "now.workflow.waiting", "now.workflow.failed"),
        # Waiting for a handler that is disabled or missing, and for room in Concord's own Redis.
        _sampled("now.delivery.held", "now.delivery.crowded"),
        # Seconds: the mail that waits longest, the delivery and the poll that are most overdue.
        _sampled("wait.mail", "wait.delivery", "wait.poll"),
        _sampled(*ACCOUNT_SERIES),
        _measured("queue.email", "queue.email-poll", "queue.email-deliver", "queue.unacked"),
        # Octets; no limit is 0.
        _measured("redis.used", "redis.limit"),
        # Counted once an hour.
        _measured(*TOTALS),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Points at equal distances: `times` are the beginnings of their spans; a None was not measured."""

    step: int  # seconds
    times: tuple[datetime, ...]
    values: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest minute that was looked at, and what was found; a name without a value was not measured."""

    at: datetime | None  # None: nothing was ever recorded
    values: Mapping[str, float]


def step_of(since: datetime, until: datetime, now: datetime) -> int:
    """The distance of points, in seconds, that shows a span in at most MOST_POINTS; by hours where minutes are gone."""
    least = HOUR if since < now - MINUTES_KEPT else MINUTE
    span = (until - since).total_seconds()
    return next((step for step in _STEPS if step >= least and span / step <= MOST_POINTS), _STEPS[-1])


def floored(moment: datetime, step: int) -> datetime:
    """The beginning of the span of `step` seconds that a moment lies in."""
    return datetime.fromtimestamp(moment.timestamp() // step * step, UTC)


def grid(since: datetime, until: datetime, step: int) -> tuple[datetime, ...]:
    """Every span's beginning, from the one that `since` lies in to the last that begins before `until`."""
    first = floored(since, step)
    count = max(0, -int((first - until).total_seconds() // step))
    return tuple(first + timedelta(seconds=step * at) for at in range(count))
