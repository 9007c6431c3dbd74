"""The trail: what happened to each message, step by step (P19)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from concord.adapters.sql.tables import trail
from concord.errors import ConcordError
from concord.model.fault import dump
from concord.model.listing import Lately, RuleHits
from concord.model.message import Step

# The newest step of one delivery is among so many of its message's, or is taken for none.
_LOOK_BACK: Final = 50


def add_steps(connection: Connection, steps: Iterable[tuple[int, str, Mapping[str, object]]], at: datetime) -> None:
    """Add (message id, what, detail) each, in one statement."""
    rows = [{"message_id": message, "at": at, "what": what, "detail": detail} for message, what, detail in steps]
    if rows:
        connection.execute(insert(trail), rows)


def add_waits(connection: Connection, waits: Sequence[tuple[int, str, Mapping[str, object]]], at: datetime) -> None:
    """Add steps that say that something waits for our own infrastructure.

    One that repeats the newest step of its message, delivery or run is counted in that: however long something is
    away, the trail stays short.
    """
    newest = _newest_waits(connection, [message for message, _, _ in waits])
    repeated = [(newest.get((message, what, _subject(what, detail))), detail) for message, what, detail in waits]
    fresh = [wait for wait, (row, _) in zip(waits, repeated, strict=True) if row is None]
    counted = [
        {"b_id": row.id, "b_detail": {**detail, "times": row.detail.get("times", 1) + 1, "since": _since(row)}}
        for row, detail in repeated
        if row is not None
    ]
    if counted:
        change = update(trail).where(trail.c.id == bindparam("b_id")).values(at=at, detail=bindparam("b_detail"))
        connection.execute(change, counted)
    add_steps(connection, fresh, at)


def _newest_waits(connection: Connection, messages: Sequence[int]) -> dict[tuple[int, str, object], Row[Any]]:
    """The newest steps of their messages, deliveries and runs, where these are waits that did not count."""
    place = func.row_number().over(partition_by=trail.c.message_id, order_by=trail.c.id.desc()).label("place")
    placed = select(trail, place).where(trail.c.message_id.in_(messages)).subquery()
    rows = connection.execute(select(placed).where(placed.c.place <= _LOOK_BACK).order_by(placed.c.id.desc()))
    found: dict[tuple[int, object], Row[Any]] = {}
    for row in rows:
        found.setdefault((row.message_id, _subject(row.what, row.detail)), row)
    return {
        (message, row.what, subject): row
        for (message, subject), row in found.items()
        if row.detail.get("counts") is False
    }


def _subject(what: str, detail: Mapping[str, object]) -> object:
    """Whose step it is: the message's own, a delivery's or a run's."""
    kind = what.partition(".")[0]
    return kind, detail.get({"delivery": "delivery", "workflow": "run"}.get(kind, ""))


def _since(row: Row[Any]) -> str:
    return str(row.detail.get("since") or row.at.isoformat())


def steps_of(connection: Connection, message_id: int) -> list[Step]:
    """A message's steps, oldest first."""
    rows = connection.execute(select(trail).where(trail.c.message_id == message_id).order_by(trail.c.id))
    return [Step(at=row.at, what=row.what, detail=row.detail) for row in rows]


def rule_hits(connection: Connection, steps: int) -> Lately:
    """Which rules matched, by the newest steps of all."""
    newest = select(trail).order_by(trail.c.id.desc()).limit(steps).subquery()
    judged = select(newest.c.message_id, newest.c.at, newest.c.detail).where(newest.c.what == "message.processed")
    rows = connection.execute(judged.order_by(newest.c.id.desc())).all()
    hits: dict[str, RuleHits] = {}
    for row in rows:
        for name in row.detail.get("matched", ()):
            known = hits.get(name) or RuleHits(amount=0, message_id=row.message_id, at=row.at)
            hits[name] = replace(known, amount=known.amount + 1)
    return Lately(judged=len(rows), hits=hits)


def reason(error: Exception) -> str:
    """The error as rows keep it: code and facts."""
    return dump(error)


def code(error: Exception) -> str:
    """The error's stable word."""
    return error.code if isinstance(error, ConcordError) else "unexpected"
