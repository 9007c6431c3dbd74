"""Handlers: where events go. Added, changed, tried, switched and removed (U2, P8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import ConcordError, ExistsError, Mistake, UsageError
from concord.handlers import Handlers
from concord.handlers.registry import takes_secret
from concord.handlers.showing import shown as shown_options
from concord.handlers.trial import Trial
from concord.model.rule import HandlerSpec
from concord.model.user import Permission
from concord.services import handlers
from concord.web.flash import see_other
from concord.web.forms import Form, Posted
from concord.web.handler_form import HandlerGiven, document_of, given_by, given_of, mark, secret_by, told
from concord.web.handler_page import shown_one
from concord.web.handler_trial import shown
from concord.web.i18n import N_
from concord.web.options_form import kind_words
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

LIST: Final = "/admin/settings/handlers"
router = APIRouter(prefix=LIST, include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(page(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=100)]
_WRONG: Final = 422
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """What stands in the form and beside it."""

    given: HandlerGiven
    before: HandlerSpec | None = None  # None: a new one
    mistakes: Sequence[Mistake] = ()
    overtaken: bool = False  # somebody else changed it meanwhile
    trial: Trial | None = None
    trouble: ConcordError | None = None


@dataclass(slots=True, kw_only=True)
class _Reading:
    """A form that was sent: the handler it says, and what is wrong with it."""

    given: HandlerGiven
    spec: HandlerSpec
    secret: str | None = field(repr=False)
    made: bool
    mistakes: list[Mistake]


@router.get("")
def list_handlers(
    request: Request, me: Reader, parts: Parts, add: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """All of them; or, with a kind to add, the form for a new one."""
    if add in Handlers.kinds() and me.may(Permission.CONFIGURE):
        return _form(request, parts, _Sheet(given=HandlerGiven(kind=add)))
    rules = parts.rulebook.rules()
    return render(
        request,
        "handlers/list.html",
        rows=[
            (spec, shown_options(spec.kind, spec.options), sum(spec.name in rule.handlers for rule in rules))
            for spec in handlers.specs(parts)
        ],
        kinds=sorted(Handlers.kinds(), key=lambda kind: kind == "log"),
        defaults=parts.settings.dispatch.default_handlers,
        kind_words=kind_words,
    )


@router.post("")
def add(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Keep a new one; a secret that was made for it is shown in the answer itself, once."""
    reading = _read(parts, form, form.text("kind")[:200])
    if not reading.mistakes:
        try:
            spec = handlers.save(parts, reading.spec, secret=reading.secret, by=me.caller)
        except ExistsError as error:
            reading.mistakes.append(Mistake(("name",), error))
        except UsageError as error:
            reading.mistakes.append(Mistake(("",), error))
        else:
            if reading.made:
                return shown_one(request, parts, me, spec, fresh=reading.secret or "")
            return see_other(
                request,
                place_of(spec.name),
                N_("'%(name)s' is added. Send it a sample, to see whether it takes it."),
                name=spec.name,
            )
    return _form(request, parts, _Sheet(given=reading.given, mistakes=reading.mistakes))


@router.post("/try")
def try_new(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Send a sample to what the form says, and keep nothing."""
    return _tried(request, me, parts, form, None)


@router.get("/{name}")
def show(request: Request, me: Reader, parts: Parts, name: Name) -> Response:
    """One."""
    return shown_one(request, parts, me, handlers.find(parts, name))


@router.get("/{name}/edit")
def edit_form(request: Request, _me: Configurer, parts: Parts, name: Name) -> Response:
    """As it is."""
    spec = handlers.find(parts, name)
    return _form(request, parts, _Sheet(given=given_of(spec), before=spec))


@router.post("/{name}/edit")
def edit(request: Request, me: Configurer, parts: Parts, name: Name, form: Form) -> Response:
    """Change it; its secret stays."""
    before = handlers.find(parts, name)
    reading = _read(parts, form, before.kind, before)
    overtaken = form.text("mark") != mark(before)
    if not reading.mistakes and not overtaken:
        try:
            handlers.save(parts, reading.spec, replacing=True, by=me.caller)
        except UsageError as error:
            reading.mistakes.append(Mistake(("",), error))
        else:
            return see_other(request, place_of(name), N_("'%(name)s' is changed."), name=name)
    sheet = _Sheet(given=reading.given, before=before, mistakes=reading.mistakes, overtaken=overtaken)
    return _form(request, parts, sheet)


@router.post("/{name}/try")
def try_changed(request: Request, me: Configurer, parts: Parts, name: Name, form: Form) -> Response:
    """Send a sample to what the form says, and change nothing."""
    return _tried(request, me, parts, form, handlers.find(parts, name))


@router.post("/{name}/enable")
def enable(request: Request, me: Operator, parts: Parts, name: Name) -> Response:
    """Send it events from now on."""
    handlers.switch(parts, name, enabled=True, by=me.caller)
    return see_other(request, place_of(name), N_("'%(name)s' gets events from now on."), name=name)


@router.post("/{name}/disable")
def disable(request: Request, me: Operator, parts: Parts, name: Name) -> Response:
    """Not any more."""
    handlers.switch(parts, name, enabled=False, by=me.caller)
    return see_other(request, place_of(name), N_("'%(name)s' gets no events any more."), name=name)


@router.get("/{name}/remove")
def ask_to_remove(request: Request, _me: Configurer, parts: Parts, name: Name) -> Response:
    """What goes and what stays; or what is in the way."""
    return _removal(request, parts, handlers.find(parts, name))


@router.post("/{name}/remove")
def remove(request: Request, me: Configurer, parts: Parts, name: Name) -> Response:
    """Unless a rule names it."""
    spec = handlers.find(parts, name)
    try:
        handlers.remove(parts, name, by=me.caller)
    except UsageError:
        return _removal(request, parts, spec, status=_CONFLICT)
    return see_other(request, LIST, N_("'%(name)s' is removed; its deliveries stay."), name=name)


def place_of(name: str) -> str:
    """Its page."""
    return f"{LIST}/{quote(name, safe='')}"


def _read(parts: Concord, form: Posted, kind: str, before: HandlerSpec | None = None) -> _Reading:
    given = given_by(form, kind)
    document, mistakes = document_of(given)
    if before:
        document["name"] = before.name
    secret = secret_by(form, given) if before is None else None
    text = secret.text if secret else None
    spec, further = handlers.read_form(parts, document, secret=text, before=before)
    told_already = {one.path for one in mistakes}
    mistakes += [one for one in further if one.path not in told_already]
    return _Reading(given=given, spec=spec, secret=text, made=bool(secret and secret.made), mistakes=mistakes)


def _tried(request: Request, me: Visitor, parts: Concord, form: Posted, before: HandlerSpec | None) -> Response:
    reading = _read(parts, form, before.kind if before else form.text("kind")[:200], before)
    # A name may be found later.
    mistakes = [one for one in reading.mistakes if one.path != ("name",)]
    trial, trouble = None, None
    if not mistakes:
        try:
            trial = handlers.try_draft(parts, reading.spec, secret=reading.secret, by=me.caller)
        except ConcordError as error:
            trouble = error
    sheet = _Sheet(given=reading.given, before=before, mistakes=mistakes, trial=trial, trouble=trouble)
    if "hx-request" in request.headers:
        return render(request, "handlers/_trial.html", **_context(sheet))
    return _form(request, parts, sheet)


def _form(request: Request, parts: Concord, sheet: _Sheet) -> Response:
    wrong = _CONFLICT if sheet.overtaken else _WRONG if sheet.mistakes else 200
    return render(
        request,
        "handlers/form.html",
        status=wrong,
        mark=mark(sheet.before) if sheet.before else "",
        has_secret=takes_secret(sheet.given.kind),
        usual_timeout=parts.settings.webhook.timeout,
        kind_words=kind_words,
        **_context(sheet),
    )


def _context(sheet: _Sheet) -> dict[str, Any]:
    errors, others = told(sheet.mistakes, sheet.given.kind)
    return {"sheet": sheet, "errors": errors, "others": others, **shown(sheet.trial, sheet.trouble)}


def _removal(request: Request, parts: Concord, spec: HandlerSpec, *, status: int = 200) -> Response:
    return render(
        request,
        "handlers/remove.html",
        status=status,
        spec=spec,
        users=handlers.users_of(parts, spec.name),
        waiting=handlers.waiting_for(parts, spec.name),
        is_default=spec.name in parts.settings.dispatch.default_handlers,
        built_in=not any(one.name == spec.name for one in parts.rulebook.handlers()),
    )
