"""A delivery: one event on its way to one handler, with its own retries (P8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from concord.model.account import Priority


class DeliveryState(StrEnum):
    """Every delivery ends `delivered` or `dead`."""

    PENDING = "pending"
    DELIVERING = "delivering"  # in a worker's hands until its lease lapses
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRef:
    """Enough of a delivery or a run to queue it, and to put it into its place among others that wait."""

    id: int
    lane: str  # the handler's or the workflow's name
    account: str
    priority: Priority = Priority.NORMAL
    suspect: bool = False  # it travels alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An outbox row. `run` is 0 for the first round and counts replays."""

    id: int
    event_id: UUID
    message_id: int
    handler: str
    run: int
    state: DeliveryState
    attempts: int  # claims so far; only ever rises: the fencing token
    failures: int  # attempts that count, since it was made or last retried by hand
    due_at: datetime
    leased_until: datetime | None
    error: str | None
    error_code: str | None
    held: bool  # it waits for its handler to be enabled, or to be there
    created_at: datetime
    delivered_at: datetime | None
    archive_key: str  # of the event document
    priority: Priority = Priority.NORMAL
    suspect: bool = False  # it travels alone: a claim of it lapsed before
