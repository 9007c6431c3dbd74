"""Taking messages in hand, giving them back, and beginning anew with those that had ended badly."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, literal, null, or_, select, union, update

from concord.adapters.sql.message_rows import message_of, message_query, ref
from concord.adapters.sql.tables import WAITING, folders, messages
from concord.adapters.sql.trail import add_steps, add_waits, code, reason
from concord.adapters.sql.types import UtcDateTime
from concord.adapters.sql.work import Claiming, Spans, Work
from concord.model.message import MessageRef, MessageState
from concord.model.version import is_newer
from concord.ports import Claim

_BETWEEN_CHANCES: Final = timedelta(hours=1)

MESSAGES: Final = Work(
    table=messages,
    idle=MessageState.ARCHIVED.value,
    taken=MessageState.PROCESSING.value,
    waiting=WAITING,
    order=(messages.c.priority, messages.c.id),
)


def claim(connection: Connection, ids: Sequence[int], claiming: Claiming) -> list[Claim]:
    """Take those of these that wait, in the order asked; a suspect one alone."""
    taken = MESSAGES.take(connection, ids, claiming)
    if not taken:
        return []
    order = {known: place for place, known in enumerate(ids)}
    rows = connection.execute(message_query().where(messages.c.id.in_(taken))).all()
    found = sorted((message_of(row) for row in rows), key=lambda message: order[message.id])
    return [Claim(message=message, attempt=message.attempts) for message in found]


def postpone(
    connection: Connection, claim: Claim, error: Exception, waits: tuple[datetime, bool], now: datetime
) -> None:
    """Back to ARCHIVED until it is due; `waits` says until when, and whether the attempt counts."""
    due_at, counts = waits
    values = {
        "state": MessageState.ARCHIVED.value,
        "queued_at": None,
        "due_at": due_at,
        "failures": messages.c.failures + int(counts),
    }
    detail = {"due_at": due_at.isoformat(), "counts": counts}
    what = "message.postponed" if counts else "message.waiting"
    _settle(connection, claim, error, values, (what, detail, now))


def give_back(
    connection: Connection,
    claims: Sequence[Claim],
    error: Exception,
    waits: tuple[datetime, Collection[int]],
    now: datetime,
) -> None:
    """Back to ARCHIVED, uncounted; `waits` says until when, and which travel alone from then on."""
    due_at, suspects = waits
    why = {"error_code": code(error), "error": reason(error)}
    suspect = or_(messages.c.suspect, messages.c.id.in_(suspects)) if suspects else messages.c.suspect
    held = [(claim.message.id, claim.attempt) for claim in claims]
    values = {"due_at": due_at, "queued_at": None, "suspect": suspect}
    given = MESSAGES.give_back(connection, held, values | why)
    detail = {**why, "due_at": due_at.isoformat(), "counts": False}
    add_waits(connection, [(known, "message.waiting", {"attempt": attempt, **detail}) for known, attempt in given], now)


def quarantine(connection: Connection, claim: Claim, error: Exception, version: str, now: datetime) -> None:
    """Out of the way, with the reason and the version that gave up."""
    values = {
        "state": MessageState.QUARANTINED.value,
        "due_at": None,
        "failures": messages.c.failures + 1,
        "gave_up_version": version,
    }
    _settle(connection, claim, error, values, ("message.quarantined", {"version": version}, now))


def _settle(
    connection: Connection,
    claim: Claim,
    error: Exception,
    values: dict[str, Any],
    step: tuple[str, dict[str, object], datetime],
) -> None:
    what, detail, now = step
    why = {"error_code": code(error), "error": reason(error)}
    if MESSAGES.settle(connection, MESSAGES.held(claim.message.id, claim.attempt), values | why):
        write = add_waits if detail.get("counts") is False else add_steps
        write(connection, [(claim.message.id, what, {"attempt": claim.attempt, **why, **detail})], now)


def retry(connection: Connection, which: ColumnElement[bool], now: datetime, why: str) -> list[MessageRef]:
    """Quarantined and skipped ones begin anew: from the archive, or from the server where there are no bytes."""
    kept = messages.c.archive_key.is_not(None)
    standing = messages.c.state.in_([MessageState.QUARANTINED.value, MessageState.SKIPPED.value])
    free = select(messages.c.id).where(which, standing, or_(kept, _askable())).order_by(messages.c.id).with_for_update()
    moment = literal(now, UtcDateTime())
    anew = (
        update(messages)
        .where(messages.c.id.in_(free), standing)
        .values(
            state=case((kept, MessageState.ARCHIVED.value), else_=MessageState.UNFETCHED.value),
            due_at=case((kept, null()), else_=moment),
            queued_at=case((kept, moment), else_=null()),
            **dict.fromkeys(("error", "error_code", "gave_up_version")),
            failures=0,
            suspect=True,
        )
        .returning(messages.c.id, messages.c.priority, messages.c.size)
    )
    rows = sorted(connection.execute(anew), key=lambda row: row.id)
    add_steps(connection, [(row.id, "message.retried", {"why": why}) for row in rows], now)
    # It failed before: it travels alone.
    return [ref(row.id, row.priority, row.size, suspect=True) for row in rows]


def _askable() -> ColumnElement[bool]:
    """Under a UIDVALIDITY that is gone there is nothing to ask the server for any more."""
    return (
        select(folders.c.account_id)
        .where(folders.c.account_id == messages.c.account_id, folders.c.folder == messages.c.folder)
        .where(folders.c.uidvalidity == messages.c.uidvalidity)
        .exists()
    )


def retry_upgraded(connection: Connection, version: str, now: datetime, *, limit: int) -> list[MessageRef]:
    """Give so many that older versions gave up one more chance; each has one with each newer version.

    In a rolling upgrade an older worker may take it and give it up again. That uses up no chance; but the next one is
    an hour later, so that workers of two versions do not try a poison mail again and again.
    """
    older = _older_versions(connection, version)
    if not older:
        return []
    wanted = (
        select(messages.c.id)
        .where(messages.c.state == MessageState.QUARANTINED.value, messages.c.gave_up_version.in_(older))
        .where(
            or_(
                messages.c.retried_version.is_(None),
                messages.c.retried_version.in_(older),
                and_(messages.c.retried_version == version, _queued_before(now - _BETWEEN_CHANCES)),
            )
        )
        .order_by(messages.c.id)
        .limit(limit)
    )
    ids = list(connection.execute(wanted).scalars())
    refs = retry(connection, messages.c.id.in_(ids), now, f"Concord is {version} now") if ids else []
    again = [retried.id for retried in refs]
    connection.execute(update(messages).where(messages.c.id.in_(again)).values(retried_version=version))
    return refs


def _queued_before(moment: datetime) -> ColumnElement[bool]:
    return or_(messages.c.queued_at.is_(None), messages.c.queued_at < moment)


def _older_versions(connection: Connection, version: str) -> list[str]:
    """The versions older than this one that the quarantined name: which gave them up, or gave them a chance."""
    row = messages.c
    quarantined = row.state == MessageState.QUARANTINED.value
    named = union(*(select(column).where(quarantined) for column in (row.gave_up_version, row.retried_version)))
    return [found for found in connection.execute(named).scalars() if found and is_newer(version, found)]


def enter(connection: Connection, claim: Claim, stage: str | None) -> bool:
    """Write down where the worker is with a message that travels alone."""
    return MESSAGES.enter(connection, MESSAGES.held(claim.message.id, claim.attempt), stage)


def stale(
    connection: Connection, *, now: datetime, queued_before: datetime, limit: int, spans: Spans
) -> list[MessageRef]:
    """Due and not queued since; now they are. The most urgent first."""
    rows = MESSAGES.forgotten(connection, now=now, queued_before=queued_before, limit=limit, spans=spans)
    return [ref(row.id, row.priority, row.size, suspect=row.is_suspect) for row in rows]
