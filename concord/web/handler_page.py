"""The page of one handler: what it is told, what it signs with, what came of the last deliveries, and a trial."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import ConcordError, SecretKeyError
from concord.handlers.registry import takes_secret
from concord.handlers.showing import shown as shown_options
from concord.handlers.trial import Trial
from concord.model.listing import DeliveriesWanted, EventsWanted, View
from concord.model.rule import HandlerSpec
from concord.model.user import Permission
from concord.services import handler_secrets, handlers
from concord.web.handler_trial import shown
from concord.web.options_form import kind_words
from concord.web.render import render
from concord.web.visitor import Visitor

_OFFERED = 10  # events to try it with
_LATEST = 5


def shown_one(  # noqa: PLR0913 - what an action on the page adds to it
    request: Request,
    parts: Concord,
    me: Visitor,
    spec: HandlerSpec,
    *,
    status: int = 200,
    fresh: str = "",
    secret_error: str = "",
    trial: Trial | None = None,
    trouble: ConcordError | None = None,
    chosen: str = "",
) -> Response:
    """`fresh` is a secret that was made just now, shown here and never again; `chosen` is the event that was tried."""
    may_try = me.may(Permission.OPERATE)
    events = parts.lists.events(EventsWanted(), View(limit=_OFFERED)).items if may_try else ()
    return render(
        request,
        "handlers/handler.html",
        status=status,
        spec=spec,
        options=shown_options(spec.kind, spec.options),
        built_in=not any(one.name == spec.name for one in parts.rulebook.handlers()),
        is_default=spec.name in parts.settings.dispatch.default_handlers,
        users=handlers.users_of(parts, spec.name),
        latest=parts.lists.deliveries(DeliveriesWanted(handler=spec.name), View(limit=_LATEST)).items,
        events=events,
        chosen=chosen,
        is_listed=chosen in {"", *(str(event.id) for event in events)},
        has_secret=takes_secret(spec.kind),
        keys=_keys(parts, spec),
        fresh=fresh,
        secret_error=secret_error,
        kind_words=kind_words,
        **shown(trial, trouble),
    )


def _keys(parts: Concord, spec: HandlerSpec) -> int | None:
    """How many secrets it signs with; None where the key that opens them is not there."""
    try:
        return handler_secrets.amount(parts, spec)
    except SecretKeyError:
        return None
