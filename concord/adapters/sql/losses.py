"""Messages whose raw bytes the archive lacks: few rows beside millions of messages, hence a table of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Engine, ScalarSelect, delete, func, or_, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.message_rows import ref
from concord.adapters.sql.tables import account_states, archive_losses, messages
from concord.adapters.sql.trail import add_steps, code
from concord.adapters.sql.upsert import insert_for
from concord.errors import ArchiveLossError
from concord.model.loss import Loss, Verdict
from concord.model.message import MessageRef, MessageState
from concord.ports import Clock

# No message is asked for again later than that (`pipeline.refetch`).
_LONGEST_WAIT: Final = timedelta(hours=12)


class SqlLosses:
    """Keeps `ports.Losses`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def add(self, message_id: int, error: ArchiveLossError) -> None:
        """Ask for it at the account's next poll. One that is known already keeps its due time."""
        now = self._clock()
        account = select(messages.c.account_id).where(messages.c.id == message_id).scalar_subquery()
        row = {"message_id": message_id, "account_id": account, "code": code(error), "since": now, "due_at": now}
        with transaction(self._engine) as connection:
            put = insert_for(connection, archive_losses).values(row).on_conflict_do_nothing()
            if connection.execute(put.returning(archive_losses.c.message_id)).first():
                add_steps(connection, [(message_id, "message.lost", {"error": code(error)})], now)

    def due(self, account_id: int, *, limit: int) -> list[Loss]:
        """Those that are to be asked for, the longest due first."""
        wanted = (
            select(messages)
            .join(archive_losses, archive_losses.c.message_id == messages.c.id)
            .where(archive_losses.c.account_id == account_id, _is_due(self._clock()))
            .where(messages.c.sha256.is_not(None), messages.c.archive_key.is_not(None))
            .order_by(archive_losses.c.due_at, messages.c.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [
                Loss(
                    message_id=row.id,
                    folder=row.folder,
                    uidvalidity=row.uidvalidity,
                    uid=row.uid,
                    sha256=row.sha256,
                    archive_key=row.archive_key,
                )
                for row in connection.execute(wanted)
            ]

    def postpone(self, ids: Sequence[int], *, due_at: datetime, verdict: Verdict | None = None) -> None:
        """Ask again then. A verdict that is new goes on the trail."""
        now = self._clock()
        these = archive_losses.c.message_id.in_(ids)
        with transaction(self._engine) as connection:
            connection.execute(update(archive_losses).where(these).values(due_at=due_at, asked_at=now))
            if verdict is not None:
                other = these & archive_losses.c.verdict.is_distinct_from(verdict.value)
                changed = update(archive_losses).where(other).values(verdict=verdict.value)
                found = connection.execute(changed.returning(archive_losses.c.message_id)).scalars()
                add_steps(connection, [(one, "message.lost", {"server": verdict.value}) for one in sorted(found)], now)

    def settle(self, ids: Sequence[int]) -> list[MessageRef]:
        """The archive has them again: those that waited for that are due now."""
        if not ids:
            return []
        now = self._clock()
        with transaction(self._engine) as connection:
            gone = delete(archive_losses).where(archive_losses.c.message_id.in_(ids))
            found = sorted(connection.execute(gone.returning(archive_losses.c.message_id)).scalars())
            add_steps(connection, [(one, "message.restored", {}) for one in found], now)
            free = (
                update(messages)
                .where(messages.c.id.in_(found), messages.c.state == MessageState.ARCHIVED.value)
                .values(due_at=None, queued_at=now)
                .returning(messages.c.id, messages.c.priority, messages.c.size)
            )
            return [ref(row.id, row.priority, row.size) for row in connection.execute(free)]


def _is_due(now: datetime) -> ColumnElement[bool]:
    """One that lies further ahead than any wait was written by a clock that was ahead."""
    due_at = archive_losses.c.due_at
    return or_(due_at <= now, due_at > now + _LONGEST_WAIT)


def lost_of(account_id: ColumnElement[int]) -> ScalarSelect[int]:
    """How many messages of an account the archive lacks."""
    return (
        select(func.count())
        .select_from(archive_losses)
        .where(archive_losses.c.account_id == account_id)
        .scalar_subquery()
    )


# Beside an account's state; as many as there are accounts, and nearly always nothing to count.
LOST: Final = lost_of(account_states.c.account_id).label("lost")
