"""Looking into the ledger: lists, counts, and what a poll asks before it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, update

from concord.adapters.sql.lists import narrow
from concord.adapters.sql.message_rows import message_of, message_query
from concord.adapters.sql.paging import Order
from concord.adapters.sql.tables import AFTER_PENDING, UNFETCHED, accounts, messages
from concord.adapters.sql.trail import add_steps
from concord.errors import ConcordError
from concord.model.fault import dump
from concord.model.message import AfterState, Message, MessageState, PendingAfter
from concord.ports import MessageFilter

# No fetch and no after-action is tried again later than that (`recording`, `pipeline.after`).
_LONGEST_WAIT: Final = timedelta(hours=12)

ORDER: Final = Order(table=messages, at=messages.c.seen_at, id=messages.c.id)
_Folder = tuple[int, str, int]  # account id, name, UIDVALIDITY


def get(connection: Connection, message_id: int) -> Message | None:
    """One by id."""
    row = connection.execute(message_query().where(messages.c.id == message_id)).one_or_none()
    return None if row is None else message_of(row)


def search(connection: Connection, narrowed: MessageFilter) -> list[Message]:
    """Newest first, from below `before_id`."""
    wanted = _narrow(message_query(), narrowed).order_by(*ORDER.newest_first).limit(narrowed.limit)
    return [message_of(row) for row in connection.execute(wanted)]


def _narrow(wanted: Select[Any], narrowed: MessageFilter) -> Select[Any]:
    return narrow(
        wanted,
        (accounts.c.name.__eq__, narrowed.account),
        (messages.c.state.__eq__, narrowed.state and narrowed.state.value),
        (messages.c.message_id.__eq__, narrowed.message_id),
        (ORDER.below, narrowed.before_id),
    )


def counts(connection: Connection) -> dict[str, dict[MessageState, int]]:
    """How many stand where, by account name."""
    grouped = (
        select(accounts.c.name, messages.c.state, func.count())
        .join(accounts, messages.c.account_id == accounts.c.id)
        .group_by(accounts.c.name, messages.c.state)
    )
    found: dict[str, dict[MessageState, int]] = {}
    for name, state, count in connection.execute(grouped):
        found.setdefault(name, {})[MessageState(state)] = count
    return found


def amount(connection: Connection, account_id: int, state: MessageState | None, most: int) -> int:
    """How many an account has, of that state; counting ends at `most`."""
    wanted = narrow(
        select(messages.c.id).where(messages.c.account_id == account_id),
        (messages.c.state.__eq__, state and state.value),
    )
    return connection.execute(select(func.count()).select_from(wanted.limit(most).subquery())).scalar_one()


def _in_folder(wanted: Select[Any], folder: _Folder) -> Select[Any]:
    account_id, name, uidvalidity = folder
    return wanted.where(
        messages.c.account_id == account_id, messages.c.folder == name, messages.c.uidvalidity == uidvalidity
    )


def _is_due(due_at: ColumnElement[datetime | None], now: datetime) -> ColumnElement[bool]:
    """One that lies further ahead than any wait was written by a clock that was ahead."""
    return or_(due_at <= now, due_at > now + _LONGEST_WAIT)


def unfetched(connection: Connection, folder: _Folder, *, now: datetime, limit: int) -> list[int]:
    """UIDs that are to be asked for again, the longest due first."""
    wanted = _in_folder(select(messages.c.uid), folder).where(UNFETCHED, _is_due(messages.c.due_at, now))
    return list(connection.execute(wanted.order_by(messages.c.due_at, messages.c.uid).limit(limit)).scalars())


def uids(connection: Connection, folder: _Folder, *, low: int, high: int) -> set[int]:
    """Those that have a row, from low to high."""
    wanted = _in_folder(select(messages.c.uid), folder).where(messages.c.uid >= low, messages.c.uid <= high)
    return set(connection.execute(wanted).scalars())


def after_pending(connection: Connection, folder: _Folder, *, now: datetime, limit: int) -> list[PendingAfter]:
    """Those whose after-action is due, in the order they came."""
    columns = (
        messages.c.id,
        messages.c.uid,
        messages.c.size,
        messages.c.archive_key,
        messages.c.after_failures,
        messages.c.after_copied,
    )
    is_due = or_(messages.c.after_due_at.is_(None), _is_due(messages.c.after_due_at, now))
    wanted = _in_folder(select(*columns), folder).where(AFTER_PENDING, is_due)
    return [
        PendingAfter(
            message_id=row.id,
            uid=row.uid,
            size=row.size,
            archive_key=row.archive_key,
            failures=row.after_failures,
            is_copied=row.after_copied,
        )
        for row in connection.execute(wanted.order_by(messages.c.id).limit(limit))
    ]


def after_failed(
    connection: Connection, message_id: int, error: Exception, next_try: tuple[datetime | None, bool], *, now: datetime
) -> None:
    """Count a failure; without a due time it was the last."""
    due_at, is_copied = next_try
    state = AfterState.FAILED if due_at is None else AfterState.PENDING
    code = error.code if isinstance(error, ConcordError) else type(error).__name__
    reason = dump(error)
    count = (
        update(messages)
        .where(messages.c.id == message_id, AFTER_PENDING)
        .values(
            after=state.value,
            after_failures=messages.c.after_failures + 1,
            after_due_at=due_at,
            after_code=code,
            after_copied=is_copied,
        )
        .returning(messages.c.after_failures)
    )
    failures = connection.execute(count).scalar_one_or_none()
    # The first failure and the last say all there is to say: a trail does not grow while something is away.
    if failures is not None and (failures == 1 or due_at is None):
        add_steps(connection, [(message_id, "message.after", {"state": state.value, "error": reason})], now)


def after_done(
    connection: Connection, ids: Sequence[int], state: AfterState, error: str | None, *, now: datetime
) -> None:
    """Say what came of it; an action that was settled already is left alone."""
    settle = (
        update(messages)
        .where(messages.c.id.in_(ids), AFTER_PENDING)
        .values(after=state.value, after_due_at=None, after_code=None)
        .returning(messages.c.id)
    )
    detail = {"state": state.value} | ({"error": error} if error else {})
    settled = sorted(connection.execute(settle).scalars())
    add_steps(connection, [(message, "message.after", detail) for message in settled], now)
