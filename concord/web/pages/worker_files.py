"""Adding a worker, changing what it runs with, taking it away: by fields or by its JSON (W3, M6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from concord.errors import (
    ConcordError,
    ConflictError,
    DaemonFailedError,
    MistakesError,
    SettingsError,
    UsageError,
)
from concord.manager.config import WorkerDocument, check_form, read_form, refuse_bad_name, resolve
from concord.model.daemon import Verb, worker
from concord.model.user import Permission
from concord.model.worker import BUILT_IN, WorkerType
from concord.services import workers
from concord.services.workers import WorkerChange
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.jobs import toggle
from concord.web.problem import status_of
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page
from concord.web.worker_form import (
    ROLES,
    TYPE_HELP,
    Given,
    by_field,
    fields_for,
    given_of,
    json_of,
    tree_by,
    tree_of,
    usual,
)

router = APIRouter(prefix="/admin/workers", include_in_schema=False)

LIST: Final = "/admin/workers"
Admin = Annotated[Visitor, Depends(page(Permission.ADMIN))]
Instance = Annotated[str, Path(max_length=31, pattern=r"^[a-z][a-z0-9_]{0,30}$")]
_BLANK: Final = {"type": WorkerType.MAIL.value, "start": "1"}
_UNPROCESSABLE: Final = 422
_ADDED: Final = N_("The worker %(name)s is added, and the service manager knows it.")


@router.get("/add")
def blank(request: Request, _me: Admin) -> Response:
    """The form."""
    return _add_form(request, _BLANK)


@router.post("/add")
def add(request: Request, me: Admin, parts: Parts, form: Form) -> Response:
    """A new worker's file; the service manager takes note of it; and, if wanted, it is started."""
    given = form.values()
    name = given.get("name", "").strip()
    document, errors = _read(name, given, parts)
    if document is None:
        return _add_form(request, given, errors=errors)
    try:
        change = workers.add(parts, name, tree_of(document), by=me.caller)
    except ConcordError as error:
        return _add_form(request, given, trouble=error)
    if change.alone:
        sentence = N_("The worker %(name)s is added, but no service manager was there to take note of it.")
        return see_other(request, LIST, sentence, kind="warn", name=name)
    if not form.has("start"):
        return see_other(request, LIST, _ADDED, name=name)
    try:
        job = toggle(request, parts, Verb.START, worker(name), by=me.caller)
    except ConflictError:
        sentence = N_("The worker %(name)s is added. Another action is under way: start it when that is done.")
        return see_other(request, LIST, sentence, kind="warn", name=name)
    return see_other(request, f"{LIST}/jobs/{job.id}", _ADDED, name=name)


@router.get("/worker@{name}/config")
def config(request: Request, _me: Admin, parts: Parts, name: Instance) -> Response:
    """The form, and the same as JSON."""
    document, trouble = _document(parts, name)
    return _config_form(request, parts, name, document, trouble=trouble)


@router.post("/worker@{name}/config")
def change(request: Request, me: Admin, parts: Parts, name: Instance, form: Form) -> Response:
    """Keep it; what it says of the poll interval holds at once."""
    before, _ = _document(parts, name)
    text = form.raw("json") if form.has("json") else None
    try:
        if text is None:
            document = check_form(_kept_type(tree_by(form.values()), before), name, parts.settings.worker)
        else:
            document = read_form(text, name, parts.settings.worker)
    except MistakesError as error:
        attempt = _Attempt(error, given=form.values() if text is None else None, text=text)
        return _config_form(request, parts, name, before, attempt=attempt)
    return _told(request, workers.change(parts, name, tree_of(document), by=me.caller), name)


@router.get("/worker@{name}/remove")
def ask(request: Request, _me: Admin, parts: Parts, name: Instance) -> Response:
    """Whether it is meant."""
    document, _ = _document(parts, name)
    return render(request, "workers/remove.html", name=name, document=json_of(document), is_built_in=name in BUILT_IN)


@router.post("/worker@{name}/remove")
def remove(request: Request, me: Admin, parts: Parts, name: Instance) -> Response:
    """Take it away; a running one is refused."""
    workers.remove(parts, name, by=me.caller)
    if name in BUILT_IN:
        sentence = N_("The worker %(name)s is back to what the settings say. Restart it to apply that.")
        return see_other(request, LIST, sentence, name=name)
    return see_other(request, LIST, N_("The worker %(name)s is removed."), name=name)


def _read(name: str, given: Given, parts: Parts) -> tuple[WorkerDocument | None, dict[str, UsageError]]:
    """The document, or what is wrong with it and with the name."""
    errors: dict[str, UsageError] = {}
    document = None
    try:
        document = check_form(tree_by(given), name, parts.settings.worker)
    except MistakesError as error:
        errors = by_field(error.mistakes)
    try:
        refuse_bad_name(name)
    except UsageError as error:
        errors["name"] = error
    return (None if errors else document), errors


def _told(request: Request, changed: WorkerChange, name: str) -> Response:
    if changed.schedule and changed.schedule.trouble:
        sentence = N_("It is kept. Redis is away, so the poll interval holds from the next sync on.")
        return see_other(request, f"{LIST}/worker@{name}", sentence, kind="warn")
    if changed.restart:
        return see_other(request, f"{LIST}/worker@{name}", N_("It is kept. Restart the worker to apply it."))
    return see_other(request, f"{LIST}/worker@{name}", N_("It is kept, and holds at once."))


def _document(parts: Parts, name: str) -> tuple[WorkerDocument, SettingsError | None]:
    """What its file says; an empty one, with the trouble, where that cannot be read. Raises NotFoundError."""
    try:
        return parts.workers.document(name), None
    except SettingsError as error:
        return WorkerDocument(), error


def _kept_type(tree: dict[str, Any], before: WorkerDocument) -> dict[str, Any]:
    """The form does not show it: a worker does not turn into another."""
    return tree | ({"type": before.type.value} if before.type else {})


def _add_form(
    request: Request, given: Given, *, errors: dict[str, UsageError] | None = None, trouble: ConcordError | None = None
) -> Response:
    status = _UNPROCESSABLE if errors else status_of(trouble) if trouble else 200
    return render(
        request,
        "workers/add.html",
        status=status,
        given=given,
        fields=fields_for(None),
        roles=ROLES,
        errors=errors or {},
        trouble=trouble,
        facts=facts_of(trouble) if trouble else {},
        log=trouble.log if isinstance(trouble, DaemonFailedError) else (),
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What was sent, by fields or as JSON, and what is wrong with it."""

    mistakes: MistakesError
    given: Given | None
    text: str | None


def _config_form(
    request: Request,
    parts: Parts,
    name: str,
    document: WorkerDocument,
    *,
    attempt: _Attempt | None = None,
    trouble: SettingsError | None = None,
) -> Response:
    kind = WorkerType(name) if name in BUILT_IN else document.type
    base = resolve(name, WorkerDocument(type=kind), parts.settings.worker, file="") if kind else None
    mistakes = attempt.mistakes.mistakes if attempt else ()
    by_json = attempt is not None and attempt.text is not None
    return render(
        request,
        "workers/config.html",
        status=_UNPROCESSABLE if attempt else 200,
        name=name,
        kind=kind,
        roles=ROLES,
        type_help=TYPE_HELP,
        fields=fields_for(kind),
        all_fields=fields_for(None),
        given=attempt.given if attempt and attempt.given is not None else given_of(document),
        usual=usual(base) if base else {},
        errors={} if by_json else by_field(mistakes),
        text=attempt.text if attempt and attempt.text is not None else json_of(document),
        told=[(".".join(map(str, one.path)), one.error, facts_of(one.error)) for one in mistakes if by_json],
        trouble=trouble,
        facts=facts_of(trouble) if trouble else {},
        path=str(parts.workers.path(name)),
        is_built_in=name in BUILT_IN,
    )
