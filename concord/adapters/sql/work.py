"""What messages, deliveries and workflow runs have in common: rows that wait, are claimed by a worker, and given back.

A row is claimed by changing it where it waits; a lease that lapses frees it, an attempt number fences off the late.

A lapse is no proof against a row: the worker may have hung in a call to the database, or was stopped. It makes the row
`suspect`, and a suspect row is claimed alone. Only where it was alone, and a `stage` says that the worker was in the
parser, a rule, a handler or a step at that moment, does the worker's death count as a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    TextClause,
    and_,
    case,
    false,
    or_,
    select,
    true,
    tuple_,
    update,
)

_Row = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """How far ahead a due time and a lease may lie. One beyond that was written by a clock that was ahead."""

    wait: timedelta
    lease: timedelta


# For those who know no settings: no wait and no lease is longer.
LONGEST: Final = Spans(wait=timedelta(days=31), lease=timedelta(days=1))
# The columns of a claim, in a row that nobody holds.
UNCLAIMED: Final = {"leased_until": None, "stage": None, "claimed_by": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """Who claims, when, and until when."""

    now: datetime
    until: datetime
    holder: str | None = None  # a worker's incarnation; None where no worker asks
    spans: Spans = LONGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One table of such rows."""

    table: Table
    idle: str  # the state of a row that waits
    taken: str  # the state of one in a worker's hands
    waiting: TextClause  # either of them, as the table's partial index says it
    order: tuple[ColumnElement[Any], ...]  # which should go first
    ready: ColumnElement[bool] = field(default_factory=true)  # what else a row that waits must meet

    def due(self, now: datetime, spans: Spans) -> ColumnElement[bool]:
        """Waiting and due, or claimed under a lease that lapsed."""
        row = self.table.c
        is_due = or_(
            row.due_at.is_(None), row.due_at <= now, row.due_at > now + spans.wait, self._is_queued_ahead(now, spans)
        )
        is_lapsed = or_(row.leased_until <= now, row.leased_until > now + spans.lease)
        return or_(and_(row.state == self.idle, self.ready, is_due), and_(row.state == self.taken, is_lapsed))

    def _is_queued_ahead(self, now: datetime, spans: Spans) -> ColumnElement[bool]:
        """Queued by a clock that was ahead: what else that clock wrote into a row that waits is wrong too."""
        return self.table.c.queued_at > now + spans.lease

    def take(self, connection: Connection, ids: Sequence[int], claiming: Claiming) -> list[int]:
        """Claim those of these that are due: all that are not suspect, or else one suspect, alone."""
        row = self.table.c
        free = select(row.id).where(row.id.in_(ids), self.due(claiming.now, claiming.spans))
        if len(ids) == 1:
            return self._take(connection, free, claiming)
        fresh = free.where(row.state == self.idle, row.suspect.is_(False))
        return self._take(connection, fresh, claiming) or self._take_one(connection, free, claiming)

    def _take_one(self, connection: Connection, free: Select[tuple[int]], claiming: Claiming) -> list[int]:
        first = free.order_by(self.table.c.id).limit(1).with_for_update(skip_locked=True)
        found = list(connection.execute(first).scalars())
        return self._take(connection, free.where(self.table.c.id.in_(found)), claiming) if found else []

    def _take(self, connection: Connection, free: Select[tuple[int]], claiming: Claiming) -> list[int]:
        row = self.table.c
        # Locked in one order, so that two claims cannot wait for each other; what another claim holds is left to it.
        locked = free.order_by(row.id).with_for_update(skip_locked=True)
        take = (
            update(self.table)
            .where(row.id.in_(locked))
            .values(
                state=self.taken,
                leased_until=claiming.until,
                claimed_by=claiming.holder,
                attempts=row.attempts + 1,
                **self._after_lapse(),
            )
            .returning(row.id)
        )
        return list(connection.execute(take).scalars())

    def _after_lapse(self) -> dict[str, Any]:
        """The columns that a lapsed claim changes. Those of a row that nobody held stay as they are."""
        row = self.table.c
        was_proven = and_(row.state == self.taken, row.suspect, row.stage.is_not(None))
        return {
            "failures": row.failures + case((was_proven, 1), else_=0),
            "suspect": case((row.state == self.taken, true()), else_=row.suspect),
            "stage": None,
        }

    def held(self, row_id: int, attempt: int) -> ColumnElement[bool]:
        """Whether the row is still in the hands of that attempt."""
        row = self.table.c
        return and_(row.id == row_id, row.attempts == attempt, row.state == self.taken)

    def enter(self, connection: Connection, held: ColumnElement[bool], stage: str | None) -> bool:
        """Write down which foreign code the worker enters with a row that travels alone; None: it has left it."""
        return self.change(connection, held, {"stage": stage})

    def change(self, connection: Connection, held: ColumnElement[bool], values: dict[str, Any]) -> bool:
        """Change a row that stays claimed; False where somebody else has it by now."""
        return connection.execute(update(self.table).where(held).values(values)).rowcount == 1

    def settle(self, connection: Connection, held: ColumnElement[bool], values: dict[str, Any]) -> bool:
        """Give a row back in a new state; False where somebody else has it by now."""
        return self.change(connection, held, UNCLAIMED | values)

    def give_back(
        self, connection: Connection, claims: Sequence[tuple[int, int]], values: dict[str, Any]
    ) -> list[tuple[int, int]]:
        """Let these claims (id, attempt) go, uncounted and in one statement; those that still held.

        A row that somebody has locked is left to its lease: it must not keep the others from going on.
        """
        row = self.table.c
        held = (
            select(row.id)
            .where(tuple_(row.id, row.attempts).in_(sorted(claims)), row.state == self.taken)
            .order_by(row.id)
            .with_for_update(skip_locked=True)
        )
        give = update(self.table).where(row.id.in_(held)).values(UNCLAIMED | {"state": self.idle} | values)
        return [(found.id, found.attempts) for found in connection.execute(give.returning(row.id, row.attempts))]

    def disclaim(self, connection: Connection, ids: Sequence[int], claiming: Claiming) -> int:
        """Let go, uncounted, of those of these that just this claim took; how many."""
        row = self.table.c
        same = and_(
            row.state == self.taken,
            row.leased_until == claiming.until,
            row.claimed_by.is_not_distinct_from(claiming.holder),
        )
        taken = select(row.id).where(row.id.in_(ids), same).order_by(row.id).with_for_update()
        give = update(self.table).where(row.id.in_(taken)).values(UNCLAIMED | {"state": self.idle, "queued_at": None})
        return connection.execute(give).rowcount

    def renew(self, connection: Connection, claims: Sequence[tuple[int, int]], until: datetime) -> None:
        """Hold these claims (id, attempt) longer. A row that its own settling has locked is passed over."""
        row = self.table.c
        ours = (
            select(row.id)
            .where(tuple_(row.id, row.attempts).in_(sorted(claims)), row.state == self.taken)
            .order_by(row.id)
            .with_for_update(skip_locked=True)
        )
        connection.execute(update(self.table).where(row.id.in_(ours)).values(leased_until=until))

    def holders(self, connection: Connection, prefix: str) -> set[str]:
        """Who holds rows of those whose name begins so."""
        row = self.table.c
        named = row.claimed_by.startswith(prefix, autoescape=True)
        found = select(row.claimed_by).where(self.waiting, row.state == self.taken, named).distinct()
        return set(connection.execute(found).scalars())

    def release(self, connection: Connection, holder: str, *, limit: int) -> int:
        """Free so many rows of a worker that is dead, as if their leases had lapsed; how many."""
        row = self.table.c
        theirs = (
            select(row.id)
            .where(self.waiting, row.state == self.taken, row.claimed_by == holder)
            .order_by(row.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = list(connection.execute(theirs).scalars())
        if ids:
            freed = UNCLAIMED | self._after_lapse() | {"state": self.idle, "queued_at": None}
            connection.execute(update(self.table).where(row.id.in_(ids)).values(freed))
        return len(ids)

    def forgotten(
        self, connection: Connection, *, now: datetime, queued_before: datetime, limit: int, spans: Spans = LONGEST
    ) -> Sequence[_Row]:
        """Rows that are due and were not queued since; now they are. As they were before, in order.

        Each has `is_suspect`: it must be queued alone.
        """
        row = self.table.c
        unqueued = or_(row.queued_at.is_(None), row.queued_at < queued_before, self._is_queued_ahead(now, spans))
        suspect = case((or_(row.suspect, row.state == self.taken, row.failures > 0), true()), else_=false())
        wanted = (
            select(self.table, suspect.label("is_suspect"))
            .where(self.waiting, self.due(now, spans), unqueued)
            .order_by(*self.order)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = connection.execute(wanted).all()
        if rows:
            mark = update(self.table).where(row.id.in_([found.id for found in rows])).values(queued_at=now)
            connection.execute(mark)
        return rows
