"""Messages: the ledger browsed and searched, one mail read safely, its trace, retry and replay (U3, P16, P18, P19)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import ConcordError
from concord.model.account import Priority
from concord.model.listing import Listing, MessagesWanted
from concord.model.message import Message, MessageState
from concord.model.user import Permission
from concord.services import lookup, mail, messages
from concord.web import mail_frame, wanted
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.lists import given, numbers, turns, view_of, whole_days
from concord.web.openings import openings_of
from concord.web.render import render
from concord.web.trail import facts as trail_facts
from concord.web.trail import words
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(include_in_schema=False)

LIST: Final = "/admin/messages"
Reader = Annotated[Visitor, Depends(page(Permission.READ))]
MailReader = Annotated[Visitor, Depends(page(Permission.MAIL))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
_FILTERS: Final = ("q", "account", "folder", "state", "priority", "since", "until")
# Of these there are few as a rule, and an index knows them.
_COUNTED: Final = tuple(state for state in MessageState if state is not MessageState.PROCESSED)
MOST_COUNTED: Final = 1000


@router.get(LIST)
def browse(request: Request, _me: Reader, parts: Parts) -> Response:
    """The ledger, the newest first."""
    filters = given(request, *_FILTERS)
    found = lookup.named(parts, filters["q"]) if filters["q"] else lookup.Named()
    listing: Listing[Message] = Listing(items=()) if found.only else _listing(request, parts, filters)
    return render(
        request,
        "mail/messages.html",
        filters=filters,
        named=found,
        listing=listing,
        turns=turns(request, filters, listing),
        accounts=parts.accounts.names(),
        folders=parts.lists.folders(filters["account"] or None),
        priorities=list(Priority),
        states=list(MessageState),
        amounts={state: parts.lists.amount(MessagesWanted(state=state), most=MOST_COUNTED) for state in _COUNTED},
        most=MOST_COUNTED,
    )


@router.get(f"{LIST}/{{message_id}}")
def show(request: Request, me: Reader, parts: Parts, message_id: Id) -> Response:
    """One, with what became of it; its content for those who may read mails."""
    return _shown(request, me, parts, parts.ledger.get(message_id))


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
    return parts.lists.messages(wanted.messages(whole_days(filters)), view_of(marks["before"], marks["after"]))


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
            openings_of(request).note(me.caller, message.id)
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
        links=mail_frame.links(content.html) if content else [],
        asks_elsewhere=content is not None and mail_frame.asks_elsewhere(content.html),
        event=parts.outbox.event_of(message.id),
        deliveries=deliveries,
        runs=parts.outbox.runs(event_id=message.event_id, limit=50)[::-1],
        steps=[(step, *words(step.what), trail_facts(step)) for step in parts.ledger.trail(message.id)],
        can_retry=message.state in messages.CAN_BE_RETRIED,
        handlers=messages.handler_names(parts),
        preview=asked.preview,
        chosen=asked.chosen,
        error=asked.error,
        facts=facts_of(asked.error) if asked.error else {},
    )
