"""Deliveries: taken in hand, delivered, tried again later, given up, or sent out once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from concord.adapters.sql.event_rows import accounts_of, delivery_of, delivery_query
from concord.adapters.sql.outbox_tables import DELIVERIES_WAITING, deliveries, events
from concord.adapters.sql.tables import messages
from concord.adapters.sql.trail import add_steps, add_waits, code, reason
from concord.adapters.sql.work import LONGEST, UNCLAIMED, Claiming, Spans, Work
from concord.model.delivery import Delivery, DeliveryState, OutboxRef

DELIVERIES: Final = Work(
    table=deliveries,
    idle=DeliveryState.PENDING.value,
    taken=DeliveryState.DELIVERING.value,
    waiting=DELIVERIES_WAITING,
    order=(deliveries.c.priority, deliveries.c.due_at, deliveries.c.id),
    ready=deliveries.c.held.is_(False),
)

# The columns of a row that nothing is known against.
UNBLAMED: Final[dict[str, Any]] = {"error": None, "error_code": None}


def claim(connection: Connection, ids: Sequence[int], claiming: Claiming) -> list[Delivery]:
    """Take those of these that are due, the most urgent first; a suspect one alone."""
    taken = DELIVERIES.take(connection, ids, claiming)
    if not taken:
        return []
    wanted = delivery_query().where(deliveries.c.id.in_(taken)).order_by(deliveries.c.priority, deliveries.c.id)
    return [delivery_of(row) for row in connection.execute(wanted)]


def waiting(connection: Connection, ids: Sequence[int], *, now: datetime, spans: Spans) -> list[OutboxRef]:
    """What is due of these: to whom each goes, and whose mail it is about."""
    wanted = (
        select(deliveries, events.c.account)
        .join(events, deliveries.c.event_id == events.c.id)
        .where(deliveries.c.id.in_(ids), DELIVERIES.due(now, spans))
        .order_by(deliveries.c.priority, deliveries.c.id)
    )
    return [_ref(row, row.account) for row in connection.execute(wanted)]


def refs_of(connection: Connection, rows: Sequence[Any]) -> list[OutboxRef]:
    """References to rows that the sweep found, in its order."""
    accounts = accounts_of(connection, rows)
    return [_ref(row, accounts[row.event_id]) for row in rows]


def _ref(row: Any, account: str) -> OutboxRef:
    return OutboxRef(
        id=row.id,
        lane=row.handler,
        account=account,
        priority=row.priority,
        suspect=row.suspect or row.state == DeliveryState.DELIVERING.value,
    )


def enter(connection: Connection, delivery: Delivery, stage: str | None) -> bool:
    """Write down where the worker is with a delivery that travels alone."""
    return DELIVERIES.enter(connection, DELIVERIES.held(delivery.id, delivery.attempts), stage)


def delivered(connection: Connection, delivery: Delivery, detail: Mapping[str, object], now: datetime) -> bool:
    """It arrived; False where the claim lapsed."""
    values = {"state": DeliveryState.DELIVERED.value, "delivered_at": now, "error": None, "suspect": False}
    values |= {"error_code": None}
    return _settle(connection, delivery, values, ("delivery.delivered", {"result": detail}, now))


def retry(
    connection: Connection, delivery: Delivery, error: Exception, waits: tuple[datetime, bool], now: datetime
) -> None:
    """Again when due; `waits` says when that is, and whether the attempt counts."""
    due_at, counts = waits
    values = {
        "state": DeliveryState.PENDING.value,
        "due_at": due_at,
        "queued_at": None,
        "failures": deliveries.c.failures + int(counts),
        "error": reason(error),
        "error_code": code(error),
    }
    detail = {"error": reason(error), "due_at": due_at.isoformat(), "counts": counts}
    _settle(connection, delivery, values, ("delivery.retry", detail, now))


def dead(connection: Connection, delivery: Delivery, error: Exception, now: datetime) -> None:
    """Never again, unless a person says so."""
    values = {
        "state": DeliveryState.DEAD.value,
        "failures": deliveries.c.failures + 1,
        "error": reason(error),
        "error_code": code(error),
    }
    _settle(connection, delivery, values, ("delivery.dead", {"error": reason(error)}, now))


def _settle(
    connection: Connection,
    delivery: Delivery,
    values: dict[str, Any],
    step: tuple[str, dict[str, object], datetime],
) -> bool:
    what, detail, now = step
    if not DELIVERIES.settle(connection, DELIVERIES.held(delivery.id, delivery.attempts), values):
        return False
    about = {"delivery": delivery.id, "handler": delivery.handler, "run": delivery.run, "attempt": delivery.attempts}
    write = add_waits if detail.get("counts") is False else add_steps
    write(connection, [(delivery.message_id, what, {**about, **detail})], now)
    return True


def revive(connection: Connection, ids: Sequence[int], now: datetime) -> list[int]:
    """Dead and waiting ones are due now, with all their attempts before them."""
    standing = deliveries.c.state.in_([DeliveryState.DEAD.value, DeliveryState.PENDING.value])
    free = select(deliveries.c.id).where(deliveries.c.id.in_(ids), standing).order_by(deliveries.c.id).with_for_update()
    anew = (
        update(deliveries)
        .where(deliveries.c.id.in_(free), standing)
        .values(state=DeliveryState.PENDING.value, due_at=now, queued_at=now, failures=0, held=False, **UNBLAMED)
        .returning(deliveries.c.id, deliveries.c.message_id, deliveries.c.handler)
    )
    rows = sorted(connection.execute(anew), key=lambda row: row.id)
    steps = [(row.message_id, "delivery.retried", {"delivery": row.id, "handler": row.handler}) for row in rows]
    add_steps(connection, steps, now)
    return [row.id for row in rows]


def give_back(connection: Connection, given: Sequence[Delivery], due_at: datetime, error: Exception | None) -> None:
    """Let claims go uncounted."""
    claims = [(delivery.id, delivery.attempts) for delivery in given]
    why = {"error": reason(error), "error_code": code(error)} if error else {}
    DELIVERIES.give_back(connection, claims, {"due_at": due_at, "queued_at": None} | why)


def hold(connection: Connection, ids: Sequence[int], error: Exception, now: datetime) -> int:
    """Let those of these that wait go on waiting, for their handler; how many. Each says so once in its trail."""
    free = select(deliveries.c.id).where(deliveries.c.id.in_(ids), DELIVERIES.due(now, LONGEST))
    held = (
        update(deliveries)
        .where(deliveries.c.id.in_(free.order_by(deliveries.c.id).with_for_update(skip_locked=True)))
        .values(
            UNCLAIMED
            | {"state": DeliveryState.PENDING.value, "held": True, "error": reason(error), "error_code": code(error)}
        )
        .returning(deliveries.c.id, deliveries.c.message_id, deliveries.c.handler)
    )
    rows = connection.execute(held).all()
    detail = {"error": reason(error)}
    steps = [(row.message_id, "delivery.held", {"delivery": row.id, "handler": row.handler, **detail}) for row in rows]
    add_steps(connection, steps, now)
    return len(rows)


def held_for(connection: Connection) -> set[str]:
    """The handlers that deliveries are held for."""
    wanted = select(deliveries.c.handler).where(deliveries.c.held).distinct()
    return set(connection.execute(wanted).scalars())


def unhold(connection: Connection, handlers: Iterable[str], now: datetime, *, limit: int) -> list[OutboxRef]:
    """So many of the deliveries that are held for these handlers go on; queued now."""
    free = (
        select(deliveries.c.id)
        .where(deliveries.c.held, deliveries.c.handler.in_(list(handlers)))
        .order_by(deliveries.c.handler, deliveries.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    going = (
        update(deliveries)
        .where(deliveries.c.id.in_(free))
        .values(held=False, due_at=now, queued_at=now, error=None, error_code=None)
        .returning(deliveries)
    )
    return refs_of(connection, connection.execute(going).all())


def replay(
    connection: Connection, event_id: UUID, handlers: Sequence[str], *, archive_key: str, now: datetime
) -> list[int] | None:
    """A new round for an event whose document is now this one; None where there is no such event."""
    # Changing the event first makes two replays take turns: each gets a round number of its own.
    changed = update(events).where(events.c.id == event_id).values(archive_key=archive_key)
    message = connection.execute(changed.returning(events.c.message_id)).scalar_one_or_none()
    if message is None:
        return None
    priority = connection.execute(select(messages.c.priority).where(messages.c.id == message)).scalar_one()
    rounds = select(func.max(deliveries.c.run)).where(deliveries.c.event_id == event_id)
    run = (connection.execute(rounds).scalar_one() or 0) + 1
    rows = [
        _new_row(event_id, message, handler, run, now) | {"priority": priority} for handler in dict.fromkeys(handlers)
    ]
    made = insert(deliveries).returning(deliveries.c.id)
    ids = sorted(connection.execute(made, rows).scalars()) if rows else []
    detail = {"run": run, "handlers": handlers, "deliveries": ids}
    add_steps(connection, [(message, "message.replayed", detail)], now)
    return ids


def _new_row(event_id: UUID, message: int, handler: str, run: int, now: datetime) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "message_id": message,
        "handler": handler,
        "run": run,
        "state": DeliveryState.PENDING.value,
        "due_at": now,
        "queued_at": now,
        "created_at": now,
    }
