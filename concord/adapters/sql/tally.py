"""What the tables say of the last minute and of now, for the numbers: by indexes of what is recent or still waits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, TextClause, and_, exists, func, select

from concord.adapters.sql.engine import reading
from concord.adapters.sql.losses import lost_of
from concord.adapters.sql.outbox_tables import DELIVERIES_WAITING, RUNS_WAITING, deliveries, events, workflow_runs
from concord.adapters.sql.tables import UNFETCHED, WAITING, account_states, accounts, messages, trail
from concord.model.account import Priority
from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.model.number import ACCOUNT_SERIES
from concord.model.workflow import RunState
from concord.ports import Clock

# The trail's words for what is counted, and the series'.
_STEPS: Final = {
    "message.archived": "mail.archived",
    "message.skipped": "mail.skipped",
    "message.quarantined": "mail.quarantined",
    "message.postponed": "mail.postponed",
    "delivery.delivered": "delivery.delivered",
    "delivery.retry": "delivery.failed",
    "delivery.dead": "delivery.dead",
    "workflow.succeeded": "workflow.succeeded",
    "workflow.failed": "workflow.failed",
}
# Among so many of the first recorded, the one that waits longest is found: those tried again by hand wait since then.
_OLDEST: Final = 50


class SqlTally:
    """Keeps `ports.Tally`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def happened(self, since: datetime, until: datetime) -> dict[str, float]:
        """From the trail, which has every step with its time."""
        with reading(self._engine) as connection:
            counted = _steps(connection, since, until)
            processed = connection.execute(_processed(since, until)).all()
            made = (
                select(func.count())
                .select_from(events)
                .where(events.c.created_at >= since, events.c.created_at < until)
            )
            counted["event.made"] = connection.execute(made).scalar_one()
        skipped = sum(bool(row.skipped) for row in processed)
        counted["mail.processed"] = len(processed) - skipped
        counted["mail.skipped"] = counted.get("mail.skipped", 0) + skipped
        return counted | _lag([row.at - row.seen_at for row in processed if not row.again])

    def standing(self) -> dict[str, float]:
        """One consistent look at what waits and what has failed."""
        now = self._clock()
        with reading(self._engine) as connection:
            counted = {name: float(connection.execute(wanted).scalar_one()) for name, wanted in _standing()}
            counted |= _accounts(connection)
            waiting = _oldest_mail(connection)
            due = (
                select(deliveries.c.due_at)
                .where(DELIVERIES_WAITING, deliveries.c.held.is_(False))
                .order_by(deliveries.c.due_at)
                .limit(1)
            )
            overdue = connection.execute(due.order_by(deliveries.c.due_at).limit(1)).scalar_one_or_none()
        return counted | {"wait.mail": _seconds_since(waiting, now), "wait.delivery": _seconds_since(overdue, now)}

    def totals(self) -> dict[str, float]:
        """Every row of three tables, by state."""
        with reading(self._engine) as connection:
            return {
                f"total.{noun}.{row.state}": float(row.rows)
                for noun, table in (("mail", messages), ("delivery", deliveries), ("workflow", workflow_runs))
                for row in connection.execute(_by_state(table))
            }


def _steps(connection: Connection, since: datetime, until: datetime) -> dict[str, float]:
    counted = (
        select(trail.c.what, func.count().label("rows"))
        .where(trail.c.at >= since, trail.c.at < until, trail.c.what.in_(_STEPS))
        .group_by(trail.c.what)
    )
    return {_STEPS[row.what]: float(row.rows) for row in connection.execute(counted)}


def _processed(since: datetime, until: datetime) -> Select[Any]:
    """Each that was processed; and whether a person had asked for it, whose pause then was its time of waiting."""
    earlier = trail.alias()
    again = exists().where(earlier.c.message_id == trail.c.message_id, earlier.c.what == "message.retried")
    return (
        select(trail.c.at, messages.c.seen_at, trail.c.detail["skipped"].label("skipped"), again.label("again"))
        .join(messages, trail.c.message_id == messages.c.id)
        .where(trail.c.at >= since, trail.c.at < until, trail.c.what == "message.processed")
    )


def _lag(spans: Sequence[timedelta]) -> dict[str, float]:
    """Nearest rank: a value that really occurred."""
    if not spans:
        return {}
    ranked = sorted(span.total_seconds() for span in spans)
    return {f"lag.p{part}": ranked[math.ceil(part / 100 * len(ranked)) - 1] for part in (50, 95)}


def _standing() -> Iterator[tuple[str, Select[Any]]]:
    yield "now.mail.waiting", _count(messages, WAITING)
    yield "now.mail.unfetched", _count(messages, UNFETCHED)
    yield "now.mail.quarantined", _count(messages, messages.c.state == MessageState.QUARANTINED.value)
    yield "now.delivery.waiting", _count(deliveries, DELIVERIES_WAITING)
    yield "now.delivery.dead", _count(deliveries, deliveries.c.state == DeliveryState.DEAD.value)
    yield "now.delivery.held", _count(deliveries, deliveries.c.held)
    crowded = and_(DELIVERIES_WAITING, deliveries.c.error_code == "broker_crowded")
    yield "now.delivery.crowded", _count(deliveries, crowded)
    yield "now.workflow.waiting", _count(workflow_runs, RUNS_WAITING)
    yield "now.workflow.failed", _count(workflow_runs, workflow_runs.c.state == RunState.FAILED.value)


def _accounts(connection: Connection) -> dict[str, float]:
    """Enabled ones by state, the others together; and the mail that those lack which are enabled."""
    of = select(
        account_states.c.state,
        accounts.c.enabled,
        func.count().label("rows"),
        func.coalesce(func.sum(account_states.c.unaccounted), 0).label("lacking"),
        func.sum(lost_of(account_states.c.account_id)).label("lost"),
    )
    living = of.join(accounts).where(accounts.c.removed_at.is_(None))
    found = dict.fromkeys(ACCOUNT_SERIES, 0.0) | {"now.mail.unaccounted": 0.0, "now.mail.lost": 0.0}
    for row in connection.execute(living.group_by(account_states.c.state, accounts.c.enabled)):
        found[f"account.{row.state}" if row.enabled else "account.disabled"] += float(row.rows)
        if row.enabled:
            found["now.mail.unaccounted"] += float(row.lacking + row.lost)
            found["now.mail.lost"] += float(row.lost)
    return found


def _count(table: Table, condition: ColumnElement[bool] | TextClause) -> Select[Any]:
    return select(func.count()).select_from(table).where(condition)


def _oldest_mail(connection: Connection) -> datetime | None:
    """When the mail that waits longest came, or was tried again by hand. One look per priority: so the index lies."""
    asked = select(func.max(trail.c.at)).where(trail.c.message_id == messages.c.id, trail.c.what == "message.retried")
    first = select(messages.c.seen_at, asked.scalar_subquery().label("asked")).where(WAITING)
    return min(
        (
            row.asked or row.seen_at
            for priority in Priority
            for row in connection.execute(
                first.where(messages.c.priority == priority).order_by(messages.c.id).limit(_OLDEST)
            )
        ),
        default=None,
    )


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0


def _by_state(table: Table) -> Select[Any]:
    return select(table.c.state, func.count().label("rows")).group_by(table.c.state)
