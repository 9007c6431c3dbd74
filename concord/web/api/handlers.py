"""Handlers: where events go. Their secrets go in, and come out only when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Body, Depends, Path, Response

from concord.errors import Mistake, MistakesError, UsageError
from concord.model.rule import HandlerSpec
from concord.model.user import Permission
from concord.services import handler_secrets, handlers
from concord.web.book_models import (
    HandlerChange,
    HandlerIn,
    HandlerMade,
    HandlerOut,
    SecretIn,
    SecretMade,
    TrialIn,
    TrialOut,
)
from concord.web.handler_trial import refuse_unread
from concord.web.rest import Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("handlers", tag="Handlers")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=100, description="The handler's name.")]
_TAKEN: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "There is a handler of that name already."}}
_USED: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "Rules name it, or it is built in."}}


@router.get("", openapi_extra=needs(Permission.READ))
def list_handlers(me: Reader, parts: Parts) -> Page[HandlerOut]:
    """All, the built-in ones first."""
    rules = parts.rulebook.rules()
    return Page(items=[HandlerOut.of(spec, parts, me, rules=rules) for spec in handlers.specs(parts)])


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.CONFIGURE), responses=_TAKEN)
def add_handler(wanted: HandlerIn, me: Configurer, parts: Parts) -> HandlerMade:
    """Keep a new one. Every mistake is told with its place."""
    made = handler_secrets.fresh() if wanted.make_secret else None
    if made and (wanted.opened is not None or wanted.kind != "webhook"):
        raise UsageError("secret_not_made")
    secret = made or wanted.opened
    spec = _accepted(*handlers.read_form(parts, wanted.document(wanted.name), secret=secret))
    kept = handlers.save(parts, spec, secret=secret, by=me.caller)
    return HandlerMade(**HandlerOut.of(kept, parts, me).model_dump(), secret=made)


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def show_handler(name: Name, me: Reader, parts: Parts) -> HandlerOut:
    """One handler."""
    return HandlerOut.of(handlers.find(parts, name), parts, me)


@router.put("/{name}", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def change_handler(name: Name, wanted: HandlerChange, me: Configurer, parts: Parts) -> HandlerOut:
    """Put this in its place; its name stays."""
    before = handlers.find(parts, name)
    read = handlers.read_form(parts, wanted.document(name), secret=wanted.opened, before=before)
    kept = handlers.save(parts, _accepted(*read), secret=wanted.opened, replacing=True, by=me.caller)
    return HandlerOut.of(kept, parts, me)


@router.delete(
    "/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=needs(Permission.CONFIGURE),
    responses={**not_found(), **_USED},
)
def remove_handler(name: Name, me: Configurer, parts: Parts) -> Response:
    """Forget it, unless rules name it. Its deliveries stay; those that wait go on when one of that name is added."""
    handlers.remove(parts, name, by=me.caller)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/{name}/enable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def enable_handler(name: Name, me: Operator, parts: Parts) -> HandlerOut:
    """Send it events from now on."""
    return HandlerOut.of(handlers.switch(parts, name, enabled=True, by=me.caller), parts, me)


@router.post("/{name}/disable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def disable_handler(name: Name, me: Operator, parts: Parts) -> HandlerOut:
    """Send it nothing any more; what is for it waits until it is enabled again."""
    return HandlerOut.of(handlers.switch(parts, name, enabled=False, by=me.caller), parts, me)


@router.post("/{name}/test", openapi_extra=needs(Permission.OPERATE), responses=not_found("No such handler or event."))
def try_handler(name: Name, me: Operator, parts: Parts, wanted: Annotated[TrialIn | None, Body()] = None) -> TrialOut:
    """Send it a sample or an archived event now, and tell what came of it; nothing is tried again."""
    event = wanted.event if wanted else None
    refuse_unread(me, event)
    return TrialOut.of(handlers.try_out(parts, name, event=event, by=me.caller))


@router.post("/{name}/secret", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def make_secret(
    name: Name, me: Configurer, parts: Parts, wanted: Annotated[SecretIn | None, Body()] = None
) -> SecretMade:
    """Make a webhook a new secret. It is told once; with `keep`, the ones so far sign too."""
    secret = handler_secrets.make(parts, name, keep=(wanted or SecretIn()).keep, by=me.caller)
    return SecretMade(secret=secret, in_use=handler_secrets.amount(parts, handlers.find(parts, name)))


@router.post("/{name}/secret/forget-old", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def forget_old_secrets(name: Name, me: Configurer, parts: Parts) -> HandlerOut:
    """Sign with the newest secret alone."""
    handler_secrets.forget_old(parts, name, by=me.caller)
    return HandlerOut.of(handlers.find(parts, name), parts, me)


def _accepted(spec: HandlerSpec, mistakes: Sequence[Mistake]) -> HandlerSpec:
    """Raises MistakesError."""
    if mistakes:
        raise MistakesError("handler", mistakes=tuple(mistakes), handler=spec.name)
    return spec
