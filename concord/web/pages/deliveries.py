"""Deliveries: events on their way to handlers; those that were given up can be offered again (U3, P8)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.model.delivery import DeliveryState
from concord.model.listing import DeliveriesWanted
from concord.model.user import Permission
from concord.services import deliveries as service
from concord.services import messages as handlers
from concord.web import wanted
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.lists import given, numbers, turns, view_of
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/deliveries", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
LIST: Final = "/admin/deliveries"


@router.get("")
def deliveries(request: Request, _me: Reader, parts: Parts) -> Response:
    """The newest first."""
    filters = given(request, "state", "handler", "account", "since", "until")
    marks = given(request, "before", "after")
    listing = parts.lists.deliveries(wanted.deliveries(filters), view_of(marks["before"], marks["after"]))
    return render(
        request,
        "mail/deliveries.html",
        filters=filters,
        listing=listing,
        turns=turns(request, filters, listing),
        handlers=handlers.handler_names(parts),
        accounts=[account.name for account in parts.accounts.all()],
        states=list(DeliveryState),
    )


@router.post("/retry")
def retry(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """Chosen ones are offered again now."""
    ids = numbers(form.all("id"))
    if not ids:
        return see_other(request, LIST, N_("Nothing was chosen."), kind="warn")
    done = service.retry(parts, ids, by=me.caller)
    place = f"{LIST}?state=dead" if len(ids) > 1 else LIST
    return see_other(request, place, N_("Deliveries that are offered again: %(count)s."), count=len(done.changed))


@router.post("/retry-dead")
def retry_dead(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """All that were given up, of one handler or of all."""
    handler = form.text("handler")[:300] or None
    subject = f"all dead of {handler}" if handler else "all dead"
    done = service.retry_all(parts, DeliveriesWanted(handler=handler), subject=subject, by=me.caller)
    return see_other(request, LIST, N_("Deliveries that are offered again: %(count)s."), count=len(done.changed))
