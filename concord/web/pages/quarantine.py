"""Quarantine: mails that were set aside, by reason, with another chance for one, some or all (P16)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.model.listing import MessagesWanted
from concord.model.message import MessageState
from concord.model.user import Permission
from concord.services import messages
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.lists import given, turns, view_of
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/quarantine", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
_MOST_AT_ONCE: Final = 10_000


@router.get("")
def quarantine(request: Request, _me: Reader, parts: Parts) -> Response:
    """Reasons, and the mails of each."""
    filters = given(request, "account", "reason")
    marks = given(request, "before", "after")
    listing = parts.lists.messages(_wanted(filters), view_of(marks["before"], marks["after"]))
    reasons, more = parts.lists.quarantined()
    return render(
        request,
        "mail/quarantine.html",
        filters=filters,
        listing=listing,
        turns=turns(request, filters, listing),
        reasons=reasons,
        more=more,
    )


@router.post("/retry")
def retry_all(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """All of a reason, or all there are."""
    wanted = _wanted({"reason": form.text("reason")[:100], "account": form.text("account")[:300]})
    found = []
    for message in messages.every(parts, wanted):
        found.append(message)
        if len(found) == _MOST_AT_ONCE:
            break
    done = messages.retry(parts, found, by=me.caller)
    return see_other(
        request, "/admin/quarantine", N_("Messages that are processed again: %(count)s."), count=len(done.changed)
    )


def _wanted(filters: dict[str, str]) -> MessagesWanted:
    return MessagesWanted(
        state=MessageState.QUARANTINED,
        account=filters["account"] or None,
        error_code=filters["reason"] or None,
    )
