"""What messages, deliveries and workflow runs have in common: rows that wait, are taken in hand, and given back.

A row is taken by changing it where it waits; a lease that lapses frees it, an attempt number fences off the late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, TextClause, and_, case, or_, select, update

_Row = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One table of such rows."""

    table: Table
    idle: str  # the state of a row that waits
    taken: str  # the state of one in a worker's hands
    waiting: TextClause  # either of them, as the table's partial index says it
    order: tuple[ColumnElement[Any], ...]  # which should go first

    @property
    def lapsed(self) -> ColumnElement[int]:
        """1 for a row that a worker had in hand. Of a due row: the worker that died."""
        return case((self.table.c.state == self.taken, 1), else_=0)

    def due(self, now: datetime) -> ColumnElement[bool]:
        """Waiting and due, or in the hands of a worker that died."""
        row = self.table.c
        return or_(
            and_(row.state == self.idle, or_(row.due_at.is_(None), row.due_at <= now)),
            and_(row.state == self.taken, row.leased_until <= now),
        )

    def take(self, connection: Connection, ids: Sequence[int], *, now: datetime, until: datetime) -> list[int]:
        """Take those of these that are due. That a worker died with a row in hand counts as a failure."""
        row = self.table.c
        # Locked in one order, so that two claims cannot wait for each other; what another claim holds is left to it.
        free = select(row.id).where(row.id.in_(ids), self.due(now)).order_by(row.id).with_for_update(skip_locked=True)
        take = (
            update(self.table)
            .where(row.id.in_(free))
            .values(
                state=self.taken,
                leased_until=until,
                attempts=row.attempts + 1,
                failures=row.failures + self.lapsed,
            )
            .returning(row.id)
        )
        return list(connection.execute(take).scalars())

    def held(self, row_id: int, attempt: int) -> ColumnElement[bool]:
        """Whether the row is still in the hands of that attempt."""
        row = self.table.c
        return and_(row.id == row_id, row.attempts == attempt, row.state == self.taken)

    def settle(self, connection: Connection, held: ColumnElement[bool], values: dict[str, Any]) -> bool:
        """Give it back in a new state; False where somebody else has it by now."""
        give = update(self.table).where(held).values({"leased_until": None} | values)
        return connection.execute(give).rowcount == 1

    def forgotten(
        self, connection: Connection, *, now: datetime, queued_before: datetime, limit: int
    ) -> Sequence[_Row]:
        """Rows that are due and were not queued since; now they are. As they were before, in order."""
        row = self.table.c
        wanted = (
            select(self.table, self.lapsed.label("lapsed"))
            .where(self.waiting, self.due(now), or_(row.queued_at.is_(None), row.queued_at < queued_before))
            .order_by(*self.order)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = connection.execute(wanted).all()
        if rows:
            mark = update(self.table).where(row.id.in_([found.id for found in rows])).values(queued_at=now)
            connection.execute(mark)
        return rows
