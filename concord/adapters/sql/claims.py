"""Taking messages in hand and giving them back: conditional updates, fenced by the attempt number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, literal, null, or_, select, update

from concord.adapters.sql.message_rows import message_of, message_query, ref
from concord.adapters.sql.tables import WAITING, folders, messages
from concord.adapters.sql.trail import add_steps, code, reason
from concord.adapters.sql.types import UtcDateTime
from concord.model.message import MessageRef, MessageState
from concord.ports import Claim

_LAPSED: Final = messages.c.state == MessageState.PROCESSING.value
_ARCHIVED: Final = messages.c.state == MessageState.ARCHIVED.value


def _due(now: datetime) -> ColumnElement[bool]:
    """Archived and due, or in the hands of a worker that died."""
    return or_(
        and_(_ARCHIVED, or_(messages.c.due_at.is_(None), messages.c.due_at <= now)),
        and_(_LAPSED, messages.c.leased_until <= now),
    )


def claim(connection: Connection, ids: Sequence[int], *, now: datetime, until: datetime) -> list[Claim]:
    """Take those of these that wait, in the order asked."""
    # Locked in one order, so that two claims cannot wait for each other; what another claim holds is left to it.
    free = (
        select(messages.c.id)
        .where(messages.c.id.in_(ids), _due(now))
        .order_by(messages.c.id)
        .with_for_update(skip_locked=True)
    )
    take = (
        update(messages)
        .where(messages.c.id.in_(free))
        .values(
            state=MessageState.PROCESSING.value,
            leased_until=until,
            attempts=messages.c.attempts + 1,
            failures=messages.c.failures + case((_LAPSED, 1), else_=0),
        )
        .returning(messages.c.id)
    )
    taken = list(connection.execute(take).scalars())
    if not taken:
        return []
    order = {known: place for place, known in enumerate(ids)}
    rows = connection.execute(message_query().where(messages.c.id.in_(taken))).all()
    found = sorted((message_of(row) for row in rows), key=lambda message: order[message.id])
    return [Claim(message=message, attempt=message.attempts) for message in found]


def ours(claim: Claim) -> ColumnElement[bool]:
    """Whether the row is still in this claim's hands."""
    return and_(
        messages.c.id == claim.message.id,
        messages.c.attempts == claim.attempt,
        messages.c.state == MessageState.PROCESSING.value,
    )


def postpone(
    connection: Connection, claim: Claim, error: Exception, *, due_at: datetime, counts: bool, now: datetime
) -> None:
    """Back to ARCHIVED until it is due."""
    values = {
        "state": MessageState.ARCHIVED.value,
        "leased_until": None,
        "queued_at": None,
        "due_at": due_at,
        "failures": messages.c.failures + (1 if counts else 0),
    }
    detail = {"due_at": due_at.isoformat(), "counts": counts, "attempt": claim.attempt}
    _settle(connection, claim, error, values, ("message.postponed", detail), now)


def quarantine(connection: Connection, claim: Claim, error: Exception, *, version: str, now: datetime) -> None:
    """Out of the way, with the reason and the version that gave up."""
    values = {
        "state": MessageState.QUARANTINED.value,
        "leased_until": None,
        "due_at": None,
        "failures": messages.c.failures + 1,
        "gave_up_version": version,
    }
    detail = {"version": version, "attempt": claim.attempt}
    _settle(connection, claim, error, values, ("message.quarantined", detail), now)


def _settle(
    connection: Connection,
    claim: Claim,
    error: Exception,
    values: dict[str, Any],
    step: tuple[str, dict[str, object]],
    now: datetime,
) -> None:
    why = {"error_code": code(error), "error": reason(error)}
    if connection.execute(update(messages).where(ours(claim)).values(values | why)).rowcount:
        what, detail = step
        add_steps(connection, [(claim.message.id, what, {**why, **detail})], now)


def retry(connection: Connection, which: ColumnElement[bool], now: datetime, why: str) -> list[MessageRef]:
    """Quarantined and skipped ones begin anew: from the archive, or from the server where there are no bytes."""
    kept = messages.c.archive_key.is_not(None)
    # Without bytes and under a UIDVALIDITY that is gone, there is nothing to ask for any more.
    askable = (
        select(folders.c.account_id)
        .where(folders.c.account_id == messages.c.account_id, folders.c.folder == messages.c.folder)
        .where(folders.c.uidvalidity == messages.c.uidvalidity)
        .exists()
    )
    standing = messages.c.state.in_([MessageState.QUARANTINED.value, MessageState.SKIPPED.value])
    free = select(messages.c.id).where(which, standing, or_(kept, askable)).order_by(messages.c.id).with_for_update()
    moment = literal(now, UtcDateTime())
    anew = (
        update(messages)
        .where(messages.c.id.in_(free), standing)
        .values(
            state=case((kept, MessageState.ARCHIVED.value), else_=MessageState.UNFETCHED.value),
            due_at=case((kept, null()), else_=moment),
            queued_at=case((kept, moment), else_=null()),
            failures=0,
            error=None,
            error_code=None,
            gave_up_version=None,
        )
        .returning(messages.c.id, messages.c.priority, messages.c.size)
    )
    rows = sorted(connection.execute(anew), key=lambda row: (row.priority, row.id))
    add_steps(connection, [(row.id, "message.retried", {"why": why}) for row in rows], now)
    # It failed before: it travels alone.
    return [ref(row.id, row.priority, row.size, suspect=True) for row in rows]


def gave_up_by_another(version: str) -> ColumnElement[bool]:
    """Quarantined by another version of Concord."""
    return and_(messages.c.state == MessageState.QUARANTINED.value, messages.c.gave_up_version != version)


def stale(connection: Connection, *, now: datetime, queued_before: datetime, limit: int) -> list[MessageRef]:
    """Due and not queued since; now they are. The most urgent first."""
    forgotten = or_(messages.c.queued_at.is_(None), messages.c.queued_at < queued_before)
    waiting = (
        select(messages.c.id)
        .where(WAITING, _due(now), forgotten)
        .order_by(messages.c.priority, messages.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    mark = (
        update(messages)
        .where(messages.c.id.in_(waiting))
        .values(queued_at=now)
        .returning(messages.c.id, messages.c.priority, messages.c.size, messages.c.failures, _LAPSED.label("lapsed"))
    )
    rows = sorted(connection.execute(mark), key=lambda row: (row.priority, row.id))
    return [ref(row.id, row.priority, row.size, suspect=bool(row.failures or row.lapsed)) for row in rows]
