"""Deliveries: events on their way to handlers; those that were given up can be offered again (U3, P8)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from concord.model.delivery import DeliveryState
from concord.model.listing import DeliveriesWanted
from concord.model.progress import Told
from concord.model.user import Permission
from concord.services import deliveries as service
from concord.services import messages as handlers
from concord.services.retrying import Retried
from concord.web import wanted
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.jobs import soon
from concord.web.lists import given, numbers, turns, view_of, whole_days
from concord.web.render import render
from concord.web.trail import facts, words
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/deliveries", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
LIST: Final = "/admin/deliveries"


@router.get("")
def deliveries(request: Request, _me: Reader, parts: Parts) -> Response:
    """The newest first."""
    filters = given(request, "state", "handler", "account", "since", "until")
    marks = given(request, "before", "after")
    listing = parts.lists.deliveries(wanted.deliveries(whole_days(filters)), view_of(marks["before"], marks["after"]))
    return render(
        request,
        "mail/deliveries.html",
        filters=filters,
        listing=listing,
        turns=turns(request, filters, listing),
        handlers=handlers.handler_names(parts),
        accounts=parts.accounts.names(),
        states=list(DeliveryState),
    )


@router.post("/retry")
def retry(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """Chosen ones are offered again now."""
    ids = numbers(form.all("id"))
    if not ids:
        return see_other(request, LIST, N_("Nothing was chosen."), kind="warn")
    done = service.retry(parts, ids, by=me.caller)
    place = LIST if len(ids) > 1 else f"{LIST}/{ids[0]}"
    return see_other(request, place, N_("Deliveries that are offered again: %(count)s."), count=len(done.changed))


@router.post("/retry-dead")
def retry_dead(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """All that were given up, of one handler or of all."""
    handler = form.text("handler")[:300] or None
    subject = f"all dead of {handler}" if handler else "all dead"

    def work(told: Told) -> Retried:
        return service.retry_all(parts, DeliveriesWanted(handler=handler), subject=subject, by=me.caller, told=told)

    job = soon(request, "delivery.retry", subject, work, by=me.caller)
    if not isinstance(job.result, Retried) or job.result.trouble:
        return see_other(request, f"/admin/jobs/{job.id}")
    done = len(job.result.changed)
    return see_other(request, LIST, N_("Deliveries that are offered again: %(count)s."), count=done)


@router.get("/{delivery_id}")
def delivery(request: Request, _me: Reader, parts: Parts, delivery_id: Id) -> Response:
    """One: its tries, its last error, what it carries."""
    found = parts.outbox.delivery(delivery_id)
    steps = [step for step in parts.ledger.trail(found.message_id) if step.detail.get("delivery") == found.id]
    return render(
        request,
        "mail/delivery.html",
        delivery=found,
        event=parts.outbox.event(found.event_id),
        steps=[(step, *words(step.what), facts(step)) for step in steps],
    )
