"""A handler's secrets, and events sent to it to see whether it takes them (U2, P8)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from concord.errors import ConcordError, UsageError
from concord.services import handler_secrets, handlers
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.handler_page import shown_one
from concord.web.handler_trial import event_of, shown
from concord.web.i18n import N_
from concord.web.options_form import words
from concord.web.pages.handlers import LIST, Configurer, Name, Operator, place_of
from concord.web.problem import status_of
from concord.web.render import render
from concord.web.visitor import Parts

router = APIRouter(prefix=LIST, include_in_schema=False)
_WRONG = 422


@router.post("/{name}/test")
def test(request: Request, me: Operator, parts: Parts, name: Name, form: Form) -> Response:
    """Send it a sample or an archived event now; what it said is shown."""
    spec = handlers.find(parts, name)
    chosen = (form.text("event_id") or form.text("event"))[:100]
    trial, trouble = None, None
    try:
        trial = handlers.try_out(parts, name, event=event_of(chosen, me), by=me.caller)
    except ConcordError as error:
        trouble = error
    if "hx-request" in request.headers:
        return render(request, "handlers/_trial.html", errors={}, others=[], **shown(trial, trouble))
    status = status_of(trouble) if trouble else 200
    return shown_one(request, parts, me, spec, status=status, trial=trial, trouble=trouble, chosen=chosen)


@router.post("/{name}/secret")
def make_secret(request: Request, me: Configurer, parts: Parts, name: Name, form: Form) -> Response:
    """Make one, and show it in the answer itself: no address leads to it."""
    secret = handler_secrets.make(parts, name, keep=form.has("keep"), by=me.caller)
    return shown_one(request, parts, me, handlers.find(parts, name), fresh=secret)


@router.post("/{name}/secret/own")
def set_secret(request: Request, me: Configurer, parts: Parts, name: Name, form: Form) -> Response:
    """One that the receiver's people gave."""
    spec = handlers.find(parts, name)
    try:
        handlers.save(parts, spec, secret=form.raw("secret").strip(), replacing=True, by=me.caller)
    except UsageError as error:
        return shown_one(request, parts, me, spec, status=_WRONG, secret_error=words(error))
    return see_other(request, place_of(name), N_("The secret of '%(name)s' is changed."), name=name)


@router.post("/{name}/secret/forget")
def forget_old(request: Request, me: Configurer, parts: Parts, name: Name) -> Response:
    """The receiver knows the newest: the older ones sign no more."""
    handler_secrets.forget_old(parts, name, by=me.caller)
    return see_other(request, place_of(name), N_("'%(name)s' signs with its newest secret alone."), name=name)
