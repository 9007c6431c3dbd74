"""A mail's content by itself: its HTML for the page's frame, its octets and its attachments as files to save (U3)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from concord.model.user import Permission
from concord.services import mail
from concord.web import mail_frame
from concord.web.downloads import saved
from concord.web.openings import openings_of
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/messages", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.MAIL))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Number = Annotated[int, Path(ge=0, le=10_000)]


@router.get("/{message_id}/frame")
def frame(request: Request, me: Reader, parts: Parts, message_id: Id) -> Response:
    """The mail's HTML. Part of the reading that its page wrote down; a reading of its own without that page."""
    message = parts.ledger.get(message_id)
    openings = openings_of(request)
    if openings.has(me.caller, message_id):
        shown = mail.look_at(parts, message)
    else:
        shown = mail.open_mail(parts, message, by=me.caller)
        openings.note(me.caller, message_id)
    content = mail_frame.framed(shown, lambda part: mail.content_of(parts, shown.message, part))
    headers = {**mail_frame.HEADERS, "Referrer-Policy": "no-referrer"}
    return Response(content, HTTPStatus.OK, headers, media_type="text/html; charset=utf-8")


@router.get("/{message_id}/raw")
def raw(me: Reader, parts: Parts, message_id: Id) -> Response:
    """The octets as they came."""
    content = mail.open_raw(parts, parts.ledger.get(message_id), by=me.caller)
    return saved(content, f"message-{message_id}.eml")


@router.get("/{message_id}/attachments/{number}")
def attachment(me: Reader, parts: Parts, message_id: Id, number: Number) -> Response:
    """A file to save; whatever it says it is, no browser opens it here."""
    part, content = mail.open_part(parts, parts.ledger.get(message_id), number, by=me.caller)
    return saved(content, part.name or f"attachment-{number}")
