"""Pages of long lists: by marks along an index, and for what no index knows by looking for a moment, then saying so.

Measured at a million messages, on PostgreSQL and on SQLite: looking for words costs 1 ms for each 1,000 rows, and finds
any part of a word of any script. PostgreSQL's indexes for it cost every mail more, for ever: its own does not know
Chinese words; that by trigrams makes inserts eight times as dear, wants an extension, needs 0.4 s for frequent words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, literal, select, tuple_

from concord.model.listing import Mark, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long one question looks, and at how many rows at once: few first, for frequent words are found soon."""

    seconds: float = 0.05  # a page is there in a tenth of a second; what will not be done by then is not begun
    first: int = 1_000
    most: int = 10_000


PACE: Final = Pace()

Condition = Callable[[Any], ColumnElement[bool]]
"""Of the columns it is given, what must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Rows in order of time; those of one moment in order of their id."""

    table: Table
    at: Column[Any]
    id: Column[Any]

    @property
    def newest_first(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """For ORDER BY."""
        return self.at.desc(), self.id.desc()

    def below(self, row_id: int) -> ColumnElement[bool]:
        """Whether a row is older than that one."""
        other = self.table.alias()
        at = select(other.c[self.at.name]).where(other.c[self.id.name] == row_id).scalar_subquery()
        return tuple_(self.at, self.id) < tuple_(at, literal(row_id))

    def beyond(self, mark: Mark, *, newer: bool) -> ColumnElement[bool]:
        """Whether a row lies on that side of a mark."""
        here, there = tuple_(self.at, self.id), tuple_(literal(mark.at, self.at.type), literal(mark.id, self.id.type))
        return here > there if newer else here < there


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which rows are wanted: what an index in that order knows of them, and what only a look at each row says."""

    order: Order
    indexed: Sequence[ColumnElement[bool]] = ()
    others: Sequence[Condition] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Marks of the rows of a page, the newest first, and of where it goes on."""

    rows: tuple[Mark, ...]
    newer: Mark | None = None
    older: Mark | None = None
    looked_to: Mark | None = None  # there was no time to look further


def find(
    connection: Connection,
    question: Question,
    view: View,
    pace: Pace,
) -> Found:
    """One page. The nearest newer ones come from below: when the top is reached, they are the newest page."""
    newer = view.after is not None
    start = view.after or view.before
    rows, stopped = _look(connection, question, view, view.limit + 1, pace)
    more = len(rows) > view.limit
    rows = rows[: view.limit]
    if newer and not more and stopped is None:
        # Fewer than a page are newer: it is filled up, for the first page is never half of one.
        return find(connection, question, replace(view, after=None), pace)
    end = stopped or (rows[-1] if more else None)
    if newer:
        return Found(rows=rows[::-1], newer=end, older=_below(rows, start), looked_to=stopped)
    return Found(rows=rows, newer=start and _above(rows, start), older=end, looked_to=stopped)


def _below(rows: Sequence[Mark], start: Mark | None) -> Mark | None:
    return rows[0] if rows else start


def _above(rows: Sequence[Mark], start: Mark) -> Mark:
    return rows[0] if rows else start


def _look(
    connection: Connection,
    question: Question,
    view: View,
    limit: int,
    pace: Pace,
) -> tuple[tuple[Mark, ...], Mark | None]:
    """Rows from a mark on in one direction; and the mark where the time was up, if it was."""
    newer, start = view.after is not None, view.after or view.before
    if not question.others:
        return _take(connection, _along(question, start, newer).limit(limit)), None
    begun, amount = monotonic(), pace.first
    deadline = begun + pace.seconds
    rows: tuple[Mark, ...] = ()
    while True:
        window = _along(question, start, newer)
        rows += _take(connection, _within(question, window.limit(amount), limit - len(rows), newer))
        if len(rows) >= limit:
            return rows, None
        ends = _take(connection, _along(question, start, newer, bare=True).offset(amount - 1).limit(1))
        if not ends:
            return rows, None
        now, following = monotonic(), min(4 * amount, pace.most)
        if now + (now - begun) * following / amount >= deadline:
            return rows, ends[0]
        start, amount, begun = ends[0], following, now


def _along(question: Question, start: Mark | None, newer: bool, *, bare: bool = False) -> Select[Any]:  # noqa: FBT001 - as above
    """Rows of the index from a mark on; `bare` of all that the index does not hold."""
    order = question.order
    columns = (order.at, order.id) if bare or not question.others else tuple(order.table.c)
    wanted = select(*columns).where(*question.indexed)
    if start is not None:
        wanted = wanted.where(order.beyond(start, newer=newer))
    return wanted.order_by(*_directed(order.at, order.id, newer=newer))


def _within(question: Question, window: Select[Any], limit: int, newer: bool) -> Select[Any]:  # noqa: FBT001 - as above
    """Of these rows, those that the other conditions leave."""
    rows = window.subquery()
    at, known = rows.c[question.order.at.name], rows.c[question.order.id.name]
    kept = and_(*(holds(rows.c) for holds in question.others))
    return select(at, known).where(kept).order_by(*_directed(at, known, newer=newer)).limit(limit)


def _directed(at: ColumnElement[Any], known: ColumnElement[Any], *, newer: bool) -> tuple[ColumnElement[Any], ...]:
    return (at.asc(), known.asc()) if newer else (at.desc(), known.desc())


def _take(connection: Connection, wanted: Select[Any]) -> tuple[Mark, ...]:
    return tuple(Mark(*row) for row in connection.execute(wanted))
