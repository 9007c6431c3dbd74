"""Events: what mails became, and the document that handlers get (U3)."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.errors import ConcordError
from concord.model.user import Permission
from concord.services import mail
from concord.web import wanted
from concord.web.downloads import saved
from concord.web.error_text import facts_of
from concord.web.lists import given, turns, view_of, whole_days
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/events", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
MailReader = Annotated[Visitor, Depends(page(Permission.MAIL))]


@router.get("")
def events(request: Request, _me: Reader, parts: Parts) -> Response:
    """The newest first."""
    filters = given(request, "q", "account", "since", "until")
    marks = given(request, "before", "after")
    listing = parts.lists.events(wanted.events(whole_days(filters)), view_of(marks["before"], marks["after"], ids=UUID))
    return render(
        request,
        "mail/events.html",
        filters=filters,
        listing=listing,
        turns=turns(request, filters, listing),
        accounts=parts.accounts.names(),
    )


@router.get("/{event_id}")
def event(request: Request, me: Reader, parts: Parts, event_id: UUID) -> Response:
    """One, with its document for those who may read mails."""
    found = parts.outbox.event(event_id)
    document, trouble = "", None
    if me.may(Permission.MAIL):
        try:
            document = json.dumps(mail.open_event(parts, found, by=me.caller), ensure_ascii=False, indent=2)
        except ConcordError as met:
            trouble = met
    return render(
        request,
        "mail/event.html",
        event=found,
        document=document[:60_000],
        is_cut=len(document) > 60_000,  # noqa: PLR2004 - of the page's 150 KB
        trouble=trouble,
        trouble_facts=facts_of(trouble) if trouble else {},
        deliveries=parts.outbox.deliveries(event_id=event_id, limit=200)[::-1],
        runs=parts.outbox.runs(event_id=event_id, limit=50)[::-1],
    )


@router.get("/{event_id}/document")
def document(me: MailReader, parts: Parts, event_id: UUID) -> Response:
    """The JSON that handlers get, as a file."""
    found = mail.open_event(parts, parts.outbox.event(event_id), by=me.caller)
    octets = json.dumps(found, ensure_ascii=False, indent=2).encode("utf-8", "replace")
    return saved((piece for piece in (octets,)), f"event-{event_id}.json")
