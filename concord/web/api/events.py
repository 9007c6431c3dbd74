"""Events: what mails became, and the document that handlers get."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import Field
from starlette.responses import Response

from concord.model.user import Permission
from concord.services import mail
from concord.web import wanted
from concord.web.api.mail_models import DeliveryOut, EventOut, Lookings, RunOut, Since, Text, Until
from concord.web.lists import view_of
from concord.web.rest import Cursor, Limit, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("events", tag="Mail")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
MailReader = Annotated[Visitor, Depends(api(Permission.MAIL))]
_MOST_DELIVERIES, _MOST_RUNS = 200, 50


class EventDetail(EventOut):
    """An event, and what became of it."""

    deliveries: list[DeliveryOut] = Field(description="The oldest first.")
    runs: list[RunOut] = Field(description="The oldest first.")


def narrowing(q: Text = None, account: Text = None, since: Since = None, until: Until = None) -> wanted.Filters:
    """What the list is narrowed to; `q` are words of the mail's subject and sender."""
    return {"q": q, "account": account, "since": since, "until": until}


@router.get("", openapi_extra=needs(Permission.READ))
def list_events(
    _me: Reader,
    parts: Parts,
    filters: Annotated[wanted.Filters, Depends(narrowing)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Lookings[EventOut]:
    """By when they were made, the newest first. `q` are words of the mail's subject and sender."""
    listing = parts.lists.events(wanted.events(filters), view_of(cursor, None, limit=limit, ids=UUID))
    return Lookings[EventOut].of(listing, EventOut.model_validate)


@router.get("/{event_id}", openapi_extra=needs(Permission.READ), responses=not_found())
def get_event(event_id: UUID, _me: Reader, parts: Parts) -> EventDetail:
    """One event with its deliveries and workflow runs."""
    event = parts.outbox.event(event_id)
    deliveries = parts.outbox.deliveries(event_id=event_id, limit=_MOST_DELIVERIES)[::-1]
    runs = parts.outbox.runs(event_id=event_id, limit=_MOST_RUNS)[::-1]
    return EventDetail(
        **EventOut.model_validate(event).model_dump(),
        deliveries=[DeliveryOut.model_validate(one) for one in deliveries],
        runs=[RunOut.model_validate(one) for one in runs],
    )


@router.get(
    "/{event_id}/document",
    response_class=Response,
    openapi_extra=needs(Permission.MAIL),
    responses={
        200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "CloudEvents 1.0."},
        **not_found(),
    },
)
def read_document(event_id: UUID, me: MailReader, parts: Parts) -> Response:
    """The document that handlers get; the whole mail is in it. The reading is written down."""
    document = mail.open_event(parts, parts.outbox.event(event_id), by=me.caller)
    return Response(json.dumps(document), media_type="application/json")
