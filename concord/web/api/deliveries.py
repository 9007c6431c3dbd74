"""Deliveries: events on their way to handlers; those that were given up can be offered again (P8)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import Field

from concord.model.delivery import DeliveryState
from concord.model.listing import DeliveriesWanted
from concord.model.user import Permission
from concord.services import deliveries as service
from concord.web import wanted
from concord.web.api.mail_models import ChosenIn, ListedDeliveryOut, Lookings, RetriedOut, Since, Text, Until
from concord.web.lists import view_of
from concord.web.rest import Cursor, Limit, Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("deliveries", tag="Mail")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]


class DeadRetry(Model):
    """Which are meant; all, where nothing is said."""

    handler: Annotated[str, Field(max_length=300)] | None = None
    account: Annotated[str, Field(max_length=300)] | None = None


def narrowing(
    state: DeliveryState | None = None,
    handler: Text = None,
    account: Text = None,
    event: UUID | None = None,
    since: Since = None,
    until: Until = None,
) -> wanted.Filters:
    """What the list is narrowed to."""
    of = str(event) if event else None
    return {"state": state, "handler": handler, "account": account, "event": of, "since": since, "until": until}


@router.get("", openapi_extra=needs(Permission.READ))
def list_deliveries(
    _me: Reader,
    parts: Parts,
    filters: Annotated[wanted.Filters, Depends(narrowing)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Lookings[ListedDeliveryOut]:
    """By when they were made, the newest first."""
    listing = parts.lists.deliveries(wanted.deliveries(filters), view_of(cursor, None, limit=limit))
    return Lookings[ListedDeliveryOut].of(listing, ListedDeliveryOut.of)


@router.post("/retry", openapi_extra=needs(Permission.OPERATE))
def retry_deliveries(chosen: ChosenIn, me: Operator, parts: Parts) -> RetriedOut:
    """Offer dead or waiting ones again now, their tries counted anew."""
    return RetriedOut.of(service.retry(parts, list(dict.fromkeys(chosen.ids)), by=me.caller))


@router.post("/retry-dead", openapi_extra=needs(Permission.OPERATE))
def retry_dead(chosen: DeadRetry, me: Operator, parts: Parts) -> RetriedOut:
    """Offer all again that were given up: of one handler, of one mailbox, or all there are."""
    named = [f"{name} {value}" for name, value in (("handler", chosen.handler), ("account", chosen.account)) if value]
    subject = f"all dead of {', '.join(named)}" if named else "all dead"
    narrowed = DeliveriesWanted(handler=chosen.handler or None, account=chosen.account or None)
    return RetriedOut.of(service.retry_all(parts, narrowed, subject=subject, by=me.caller))
