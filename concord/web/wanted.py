"""What a list's filters narrow it to: the same words in the addresses of pages and in the API's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from concord.model.account import Priority
from concord.model.delivery import DeliveryState
from concord.model.listing import DeliveriesWanted, EventsWanted, MessagesWanted, RunsWanted
from concord.model.message import MessageState
from concord.model.workflow import RunState
from concord.web.lists import moment, word

Filters = Mapping[str, str | None]
"""By name: empty, None and left out are all the same."""


def messages(filters: Filters) -> MessagesWanted:
    """Of q, account, folder, state, priority, reason, since and until. Raises UsageError."""
    return MessagesWanted(
        account=filters.get("account") or None,
        folder=filters.get("folder") or None,
        state=word(MessageState, filters.get("state")),
        priority=word(Priority, filters.get("priority")),
        error_code=filters.get("reason") or None,
        search=filters.get("q") or None,
        **_times(filters),
    )


def quarantined(filters: Filters) -> MessagesWanted:
    """The same, of those that were set aside."""
    return messages({**filters, "state": MessageState.QUARANTINED})


def events(filters: Filters) -> EventsWanted:
    """Of q, account, since and until. Raises UsageError."""
    return EventsWanted(account=filters.get("account") or None, search=filters.get("q") or None, **_times(filters))


def deliveries(filters: Filters) -> DeliveriesWanted:
    """Of state, handler, account, event, since and until. Raises UsageError."""
    return DeliveriesWanted(
        account=filters.get("account") or None,
        handler=filters.get("handler") or None,
        state=word(DeliveryState, filters.get("state")),
        event_id=_event(filters),
        **_times(filters),
    )


def runs(filters: Filters) -> RunsWanted:
    """Of state, workflow, account, event, since and until. Raises UsageError."""
    return RunsWanted(
        account=filters.get("account") or None,
        workflow=filters.get("workflow") or None,
        state=word(RunState, filters.get("state")),
        event_id=_event(filters),
        **_times(filters),
    )


def _times(filters: Filters) -> dict[str, Any]:
    found: dict[str, datetime | None] = {name: moment(filters.get(name)) for name in ("since", "until")}
    return found


def _event(filters: Filters) -> UUID | None:
    """Whoever gives one has looked at it: the API knows its type."""
    text = filters.get("event")
    return UUID(text) if text else None
