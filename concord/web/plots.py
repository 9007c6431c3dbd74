"""What the overview plots: which series together, over which spans, and the same as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from concord.model.number import SERIES, step_of
from concord.ports import Numbers
from concord.web.i18n import N_


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How far back. A table's rows are further apart than a plot's points."""

    code: str
    length: timedelta
    words: str
    row: int  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Series of one unit."""

    code: str
    title: str
    series: tuple[tuple[str, str], ...]  # name, words
    about: str = ""  # what a value is; empty where it is how many there were within one point

    @property
    def unit(self) -> str:
        """`count`, `seconds` or `octets`."""
        return SERIES[self.series[0][0]].unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A plot's values in few rows, the newest first."""

    plot: Plot
    rows: tuple[tuple[datetime, tuple[float | None, ...]], ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it was ever measured in the span."""
        return all(value is None for _, values in self.rows for value in values)


SPANS: Final = {
    span.code: span
    for span in (
        Span(code="1h", length=timedelta(hours=1), words=N_("1 hour"), row=300),
        Span(code="24h", length=timedelta(days=1), words=N_("24 hours"), row=3600),
        Span(code="7d", length=timedelta(days=7), words=N_("7 days"), row=21_600),
        Span(code="30d", length=timedelta(days=30), words=N_("30 days"), row=86_400),
    )
}
PLOTS: Final = (
    Plot(
        code="throughput",
        title=N_("Throughput"),
        series=(
            ("mail.archived", N_("mails archived")),
            ("mail.processed", N_("mails processed")),
            ("delivery.delivered", N_("deliveries")),
        ),
    ),
    Plot(
        code="lag",
        title=N_("Processing time"),
        about=N_("from arrival to event"),
        series=(
            ("lag.p50", N_("half of the mails within")),
            ("lag.p95", N_("95 % within")),
            ("wait.mail", N_("longest waiting")),
        ),
    ),
    Plot(
        code="failures",
        title=N_("Failures"),
        series=(
            ("poll.failed", N_("polls")),
            ("mail.postponed", N_("mails put off")),
            ("mail.quarantined", N_("mails quarantined")),
            ("delivery.failed", N_("deliveries put off")),
            ("delivery.dead", N_("deliveries given up")),
        ),
    ),
    Plot(
        code="queues",
        title=N_("Queues"),
        about=N_("tasks in Redis"),
        series=(
            ("queue.email", N_("mail")),
            ("queue.email-poll", N_("polls")),
            ("queue.email-deliver", N_("deliveries")),
            ("queue.unacked", N_("in workers' hands")),
        ),
    ),
    Plot(
        code="redis",
        title=N_("Redis memory"),
        series=(("redis.used", N_("used")), ("redis.limit", N_("may be used"))),
    ),
)


def plotted() -> list[str]:
    """Every series of every plot."""
    return [name for plot in PLOTS for name, _ in plot.series]


def tables(numbers: Numbers, span: Span, now: datetime) -> Iterator[Table]:
    """All plots' values over a span."""
    found = numbers.read(plotted(), since=now - span.length, until=now, step=span.row)
    for plot in PLOTS:
        columns = [found.values[name] for name, _ in plot.series]
        rows = zip(found.times, zip(*columns, strict=True), strict=True)
        yield Table(plot=plot, rows=tuple(rows)[::-1])


def step_in_words(span: Span, now: datetime) -> int:
    """How many minutes one point of a plot stands for."""
    return step_of(now - span.length, now, now) // 60


def compact(values: Sequence[float | None]) -> list[float | int | None]:
    """For JSON: whole numbers without a point, others to a thousandth."""
    return [None if value is None else int(value) if value == int(value) else round(value, 3) for value in values]
