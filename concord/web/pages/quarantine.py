"""Quarantine: mails that were set aside, by reason, with another chance for one, some or all (P16)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.model.user import Permission
from concord.services import messages
from concord.web import wanted
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.lists import given, turns, view_of
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/quarantine", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]


@router.get("")
def quarantine(request: Request, _me: Reader, parts: Parts) -> Response:
    """Reasons, and the mails of each."""
    filters = given(request, "account", "reason")
    marks = given(request, "before", "after")
    listing = parts.lists.messages(wanted.quarantined(filters), view_of(marks["before"], marks["after"]))
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
    filters = {"reason": form.text("reason")[:100], "account": form.text("account")[:300]}
    done = messages.retry_all(parts, wanted.quarantined(filters), subject=subject_of(filters), by=me.caller)
    return see_other(
        request, "/admin/quarantine", N_("Messages that are processed again: %(count)s."), count=len(done.changed)
    )


def subject_of(filters: wanted.Filters) -> str:
    """Which were meant, for the audit."""
    named = [f"{name} {filters[name]}" for name in ("reason", "account") if filters.get(name)]
    return " of ".join(["all quarantined", ", ".join(named)]) if named else "all quarantined"
