"""Messages: the ledger searched, one with its whole trail, and another chance for those that were set aside."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from concord.errors import NotFoundError
from concord.model.account import Priority
from concord.model.listing import Listing, MessagesWanted
from concord.model.message import Message, MessageState
from concord.model.user import Permission
from concord.services import lookup, messages
from concord.web import wanted
from concord.web.api.mail_models import (
    ChosenIn,
    DeliveryOut,
    EventOut,
    Id,
    Lookings,
    MessageOut,
    RetriedOut,
    RunOut,
    Since,
    StepOut,
    Text,
    Until,
)
from concord.web.lists import LONGEST, view_of
from concord.web.rest import Cursor, Limit, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("messages", tag="Mail")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Search = Annotated[
    str | None,
    Query(
        max_length=LONGEST,
        description="Words of subject and sender; or a number, a Message-ID, an event's id, a SHA-256.",
    ),
]
_MOST_DELIVERIES, _MOST_RUNS = 200, 50


class MessagesPage(Lookings[MessageOut]):
    """A page of messages."""

    named: list[MessageOut] = Field(
        default_factory=list, description="On the first page: those whose number, Message-ID, event or digest `q` is."
    )


class MessageDetail(MessageOut):
    """A message with all that became of it."""

    has_content: bool = Field(description="Whether its octets are in the archive.")
    can_retry: bool
    event: EventOut | None
    deliveries: list[DeliveryOut] = Field(description="The oldest first.")
    runs: list[RunOut] = Field(description="The oldest first.")
    steps: list[StepOut] = Field(description="Its trail, the oldest first.")


def narrowing(  # noqa: PLR0913, PLR0917 - a filter of eight fields, filled in by the framework
    q: Search = None,
    account: Text = None,
    folder: Text = None,
    state: MessageState | None = None,
    priority: Priority | None = None,
    reason: Annotated[Text, Query(description="The code of its error, as `/quarantine` has them.")] = None,
    since: Since = None,
    until: Until = None,
) -> wanted.Filters:
    """What the list is narrowed to."""
    return {
        "q": q,
        "account": account,
        "folder": folder,
        "state": state,
        "priority": priority,
        "reason": reason,
        "since": since,
        "until": until,
    }


@router.get("", openapi_extra=needs(Permission.READ))
def list_messages(
    _me: Reader,
    parts: Parts,
    filters: Annotated[wanted.Filters, Depends(narrowing)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MessagesPage:
    """By when Concord saw them, the newest first."""
    narrowed = wanted.messages(filters)
    found = lookup.named(parts, narrowed.search) if narrowed.search else lookup.Named()
    named = [MessageOut.model_validate(one) for one in found.messages] if cursor is None else []
    listing: Listing[Message] = Listing(items=()) if found.only else _listing(parts, narrowed, limit, cursor)
    shown = Lookings[MessageOut].of(listing, MessageOut.model_validate)
    return MessagesPage(**dict(shown), named=named)


@router.get("/{message_id}", openapi_extra=needs(Permission.READ), responses=not_found())
def get_message(message_id: Id, _me: Reader, parts: Parts) -> MessageDetail:
    """One message, and all that became of it: event, deliveries, workflow runs, every step."""
    message = parts.ledger.get(message_id)
    event = parts.outbox.event_of(message_id)
    deliveries = parts.outbox.deliveries(event_id=message.event_id, limit=_MOST_DELIVERIES)[::-1]
    runs = parts.outbox.runs(event_id=message.event_id, limit=_MOST_RUNS)[::-1]
    return MessageDetail(
        **dict(MessageOut.model_validate(message)),
        has_content=message.archive_key is not None,
        can_retry=message.state in messages.CAN_BE_RETRIED,
        event=EventOut.model_validate(event) if event else None,
        deliveries=[DeliveryOut.model_validate(one) for one in deliveries],
        runs=[RunOut.model_validate(one) for one in runs],
        steps=[StepOut.of(step) for step in parts.ledger.trail(message_id)],
    )


@router.post("/retry", openapi_extra=needs(Permission.OPERATE))
def retry_messages(chosen: ChosenIn, me: Operator, parts: Parts) -> RetriedOut:
    """Process quarantined or skipped ones again; others are left as they are."""
    found, missing = [], []
    for one in dict.fromkeys(chosen.ids):
        try:
            found.append(parts.ledger.get(one))
        except NotFoundError:
            missing.append(one)
    done = messages.retry(parts, found, by=me.caller)
    answer = RetriedOut.of(done)
    answer.unchanged += missing
    return answer


def _listing(parts: Parts, narrowed: MessagesWanted, limit: int, cursor: str | None) -> Listing[Message]:
    return parts.lists.messages(narrowed, view_of(cursor, None, limit=limit))
