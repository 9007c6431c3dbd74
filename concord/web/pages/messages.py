"""Messages: the ledger browsed and searched, one mail read safely, its trace, retry and replay (U3, P16, P18, P19)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response, StreamingResponse

from concord.bootstrap import Concord
from concord.errors import ConcordError
from concord.model.listing import Listing
from concord.model.message import Message, MessageState
from concord.model.user import Permission
from concord.services import lookup, mail, messages
from concord.web import wanted
from concord.web.downloads import NOTHING_RUNS, saved
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.lists import given, numbers, turns, view_of
from concord.web.problem import Refusal, facts_of
from concord.web.render import render
from concord.web.trail import words
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(include_in_schema=False)

LIST: Final = "/admin/messages"
Reader = Annotated[Visitor, Depends(page(Permission.READ))]
MailReader = Annotated[Visitor, Depends(page(Permission.MAIL))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
_FILTERS: Final = ("q", "account", "state", "priority", "since", "until")
# A mail's own frame: nothing runs, nothing loads from elsewhere, nothing leaves; its own pictures come from us.
_FRAME: Final = (
    "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
_CID: Final = re.compile(r"""cid:([^"'\s)>]+)""", re.IGNORECASE)
_LINK: Final = re.compile(r"""<a\s[^>]*?href\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
_MOST_LINKS: Final = 50


@router.get(LIST)
def browse(request: Request, _me: Reader, parts: Parts) -> Response:
    """The ledger, the newest first."""
    filters = given(request, *_FILTERS)
    found = lookup.named(parts, filters["q"]) if filters["q"] else lookup.Named()
    listing = Listing[Message](items=()) if found.only else _listing(request, parts, filters)
    return render(
        request,
        "mail/messages.html",
        filters=filters,
        named=found,
        listing=listing,
        turns=turns(request, filters, listing),
        accounts=[account.name for account in parts.accounts.all()],
        states=list(MessageState),
    )


@router.get(f"{LIST}/{{message_id}}")
def show(request: Request, me: Reader, parts: Parts, message_id: Id) -> Response:
    """One, with what became of it; its content for those who may read mails."""
    return _shown(request, me, parts, parts.ledger.get(message_id))


@router.get(f"{LIST}/{{message_id}}/frame")
def frame(_me: MailReader, parts: Parts, message_id: Id) -> Response:
    """The mail's HTML, alone in a frame."""
    shown = mail.look_at(parts, parts.ledger.get(message_id))
    inline = {part.content_id.strip("<>"): part.number for part in shown.parts if part.content_id}

    def ours(found: re.Match[str]) -> str:
        number = inline.get(found[1])
        return "about:blank" if number is None else f"{LIST}/{message_id}/inline/{number}"

    content = _CID.sub(ours, shown.html or f"<pre>{html.escape(shown.text or '')}</pre>")
    headers = {"Content-Security-Policy": _FRAME, "Cross-Origin-Resource-Policy": "same-origin"}
    return Response(content.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)


@router.get(f"{LIST}/{{message_id}}/inline/{{number}}")
def inline(_me: MailReader, parts: Parts, message_id: Id, number: int) -> Response:
    """A picture of the mail itself, for its frame; nothing that could do anything."""
    shown = mail.look_at(parts, parts.ledger.get(message_id))
    part = next((one for one in shown.parts if one.number == number and one.content_type in _PICTURES), None)
    if part is None:
        raise Refusal(HTTPStatus.NOT_FOUND)
    headers = {"Content-Security-Policy": NOTHING_RUNS}
    return StreamingResponse(mail.content_of(parts, part), media_type=part.content_type, headers=headers)


@router.get(f"{LIST}/{{message_id}}/raw")
def raw(me: MailReader, parts: Parts, message_id: Id) -> Response:
    """The octets as they came."""
    content = mail.open_raw(parts, parts.ledger.get(message_id), by=me.caller)
    return saved(content, f"message-{message_id}.eml")


@router.get(f"{LIST}/{{message_id}}/attachments/{{number}}")
def attachment(me: MailReader, parts: Parts, message_id: Id, number: int) -> Response:
    """A file to save; whatever it says it is, no browser opens it here."""
    part, content = mail.open_part(parts, parts.ledger.get(message_id), number, by=me.caller)
    return saved(content, part.name or f"attachment-{number}")


@router.post(f"{LIST}/retry")
def retry(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """Chosen ones that were set aside get another chance."""
    ids = numbers(form.all("id"))
    if not ids:
        return see_other(request, "/admin/quarantine", N_("Nothing was chosen."), kind="warn")
    found = [parts.ledger.get(one) for one in ids]
    done = messages.retry(parts, found, by=me.caller)
    place = f"{LIST}/{ids[0]}" if len(ids) == 1 else "/admin/quarantine"
    return see_other(request, place, N_("Messages that are processed again: %(count)s."), count=len(done.changed))


@router.post(f"{LIST}/{{message_id}}/replay")
def replay(request: Request, me: Operator, parts: Parts, form: Form, message_id: Id) -> Response:
    """First what would happen, then, asked again, it happens."""
    chosen = [name for name in form.all("handler") if name]
    message = parts.ledger.get(message_id)
    if not form.has("sure"):
        report = messages.preview(parts, [message_id], chosen)
        return _shown(request, me, parts, message, _Asked(preview=report, chosen=chosen))
    report = messages.replay(parts, [message_id], chosen, subject=f"message {message_id}", by=me.caller)
    if report.failed:
        return _shown(request, me, parts, message, _Asked(error=report.failed[0][1]))
    sent = sum(len(one.deliveries) for one in report.done)
    return see_other(request, f"{LIST}/{message_id}", N_("Sent again: %(count)s new deliveries."), count=sent)


def _listing(request: Request, parts: Concord, filters: dict[str, str]) -> Listing[Message]:
    marks = given(request, "before", "after")
    return parts.lists.messages(wanted.messages(filters), view_of(marks["before"], marks["after"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for on the page, and came of it."""

    preview: messages.ReplayReport | None = None
    chosen: Sequence[str] = ()
    error: ConcordError | None = None


def _shown(request: Request, me: Visitor, parts: Concord, message: Message, asked: _Asked = _Asked()) -> Response:
    content: mail.ShownMail | None = None
    trouble: ConcordError | None = None
    if me.may(Permission.MAIL) and asked.preview is None:
        try:
            content = mail.open_mail(parts, message, by=me.caller)
        except ConcordError as met:
            trouble = met
    deliveries = parts.outbox.deliveries(event_id=message.event_id, limit=200)[::-1]
    return render(
        request,
        "mail/message.html",
        message=message,
        mail=content,
        trouble=trouble,
        trouble_facts=facts_of(trouble) if trouble else {},
        links=_links(content),
        event=parts.outbox.event_of(message.id),
        deliveries=deliveries,
        runs=parts.outbox.runs(event_id=message.event_id, limit=50)[::-1],
        steps=[(step, *words(step.what)) for step in parts.ledger.trail(message.id)],
        can_retry=message.state in messages.CAN_BE_RETRIED,
        handlers=messages.handler_names(parts),
        preview=asked.preview,
        chosen=asked.chosen,
        error=asked.error,
        facts=facts_of(asked.error) if asked.error else {},
    )


def _links(content: mail.ShownMail | None) -> list[str]:
    """Where the mail's links lead, as text: the frame opens none of them."""
    if content is None or not content.html:
        return []
    return list(dict.fromkeys(html.unescape(link)[:500] for link in _LINK.findall(content.html)))[:_MOST_LINKS]
