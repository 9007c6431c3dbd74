"""Quarantine: mails that were set aside, by reason, with another chance for one, some or all (P16)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.model.progress import Told
from concord.model.user import Permission
from concord.services import messages
from concord.services.retrying import Retried
from concord.web import wanted
from concord.web.causes import todo
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.jobs import soon
from concord.web.lists import given, turns, view_of
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/quarantine", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
LIST: Final = "/admin/quarantine"


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
        todo=todo,
        accounts=parts.accounts.names(),
        more=more,
    )


@router.post("/retry")
def retry_all(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """All of a reason, or all there are."""
    filters = {"reason": form.text("reason")[:100], "account": form.text("account")[:300]}
    subject = subject_of(filters)

    def work(told: Told) -> Retried:
        return messages.retry_all(parts, wanted.quarantined(filters), subject=subject, by=me.caller, told=told)

    job = soon(request, "message.retry", subject, work, by=me.caller)
    if not isinstance(job.result, Retried) or job.result.trouble:
        return see_other(request, f"/admin/jobs/{job.id}")
    done = len(job.result.changed)
    return see_other(request, LIST, N_("Messages that are processed again: %(count)s."), count=done)


def subject_of(filters: wanted.Filters) -> str:
    """Which were meant, for the audit."""
    named = [f"{name} {filters[name]}" for name in ("reason", "account") if filters.get(name)]
    return " of ".join(["all quarantined", ", ".join(named)]) if named else "all quarantined"
