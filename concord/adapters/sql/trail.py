"""The trail: what happened to each message, step by step (P19)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, insert, select

from concord.adapters.sql.clean import REASON, clean
from concord.adapters.sql.tables import trail
from concord.errors import ConcordError
from concord.model.listing import Lately, RuleHits
from concord.model.message import Step


def add_steps(connection: Connection, steps: Iterable[tuple[int, str, Mapping[str, object]]], at: datetime) -> None:
    """Add (message id, what, detail) each, in one statement."""
    rows = [{"message_id": message, "at": at, "what": what, "detail": detail} for message, what, detail in steps]
    if rows:
        connection.execute(insert(trail), rows)


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
    """What a person reads in a list: sentence, facts and remedy of one of ours, else the exception's own words."""
    told = error.explain() if isinstance(error, ConcordError) else f"{type(error).__name__}: {error}"
    return clean(told, REASON)


def code(error: Exception) -> str:
    """The error's stable word."""
    return error.code if isinstance(error, ConcordError) else "unexpected"
