"""Workflows as they are defined: named steps in order; rules start them (U2, P9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import ExistsError, Mistake, UsageError
from concord.handlers import WorkflowSteps
from concord.handlers.showing import shown
from concord.model.listing import RunsWanted, View
from concord.model.rule import WorkflowSpec
from concord.model.user import Permission
from concord.services import workflows
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.options_form import kind_words
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page
from concord.web.workflow_form import (
    SAVE,
    WorkflowGiven,
    document_of,
    given_by,
    given_of,
    mark,
    rearranged,
    told,
)

LIST: Final = "/admin/settings/workflows"
router = APIRouter(prefix=LIST, include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(page(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=100)]
_WRONG: Final = 422
_CONFLICT: Final = 409
_LATEST: Final = 5


@router.get("")
def list_workflows(
    request: Request, me: Reader, parts: Parts, add: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """All of them; or the form for a new one."""
    if add and me.may(Permission.CONFIGURE):
        return _form(request, parts, WorkflowGiven())
    rules = parts.rulebook.rules()
    rows = [(spec, sum(spec.name in rule.workflows for rule in rules)) for spec in parts.rulebook.workflows()]
    return render(request, "workflows/list.html", rows=rows, kind_words=kind_words)


@router.post("")
def add(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Keep a new one; or only rearrange the steps in the form."""
    given = given_by(form)
    if (button := form.text("do")) != SAVE:
        return _form(request, parts, rearranged(given, button, WorkflowSteps.kinds()))
    workflow, mistakes = _read(parts, given)
    if not mistakes:
        try:
            workflows.save(parts, workflow, by=me.caller)
        except ExistsError as error:
            mistakes.append(Mistake(("name",), error))
        except UsageError as error:
            mistakes.append(Mistake(("",), error))
        else:
            sentence = N_("'%(name)s' is added. A rule must name it, so that it starts.")
            return see_other(request, place_of(workflow.name), sentence, name=workflow.name)
    return _form(request, parts, given, mistakes=mistakes)


@router.get("/{name}")
def show(request: Request, _me: Reader, parts: Parts, name: Name) -> Response:
    """One."""
    workflow = workflows.find(parts, name)
    return render(
        request,
        "workflows/workflow.html",
        workflow=workflow,
        steps=[(step, shown(step.kind, step.options)) for step in workflow.steps],
        users=workflows.users_of(parts, name),
        latest=parts.lists.runs(RunsWanted(workflow=name), View(limit=_LATEST)).items,
        kind_words=kind_words,
    )


@router.get("/{name}/edit")
def edit_form(request: Request, _me: Configurer, parts: Parts, name: Name) -> Response:
    """As it is."""
    workflow = workflows.find(parts, name)
    return _form(request, parts, given_of(workflow), before=workflow, marked=mark(workflow))


@router.post("/{name}/edit")
def edit(request: Request, me: Configurer, parts: Parts, name: Name, form: Form) -> Response:
    """Change it, for runs that begin from now on; or only rearrange the steps in the form."""
    before = workflows.find(parts, name)
    given, marked = given_by(form), form.text("mark")
    if (button := form.text("do")) != SAVE:
        given = rearranged(given, button, WorkflowSteps.kinds())
        return _form(request, parts, given, before=before, marked=marked)
    workflow, mistakes = _read(parts, given, before)
    if not mistakes and marked == mark(before):
        try:
            workflows.save(parts, workflow, replacing=True, by=me.caller)
        except UsageError as error:
            mistakes.append(Mistake(("",), error))
        else:
            sentence = N_("'%(name)s' is changed; runs under way keep the steps they began with.")
            return see_other(request, place_of(name), sentence, name=name)
    return _form(request, parts, given, before=before, marked=marked, mistakes=mistakes)


@router.post("/{name}/enable")
def enable(request: Request, me: Operator, parts: Parts, name: Name) -> Response:
    """Start it from now on."""
    workflows.switch(parts, name, enabled=True, by=me.caller)
    return see_other(request, place_of(name), N_("'%(name)s' is started from now on."), name=name)


@router.post("/{name}/disable")
def disable(request: Request, me: Operator, parts: Parts, name: Name) -> Response:
    """Not any more."""
    workflows.switch(parts, name, enabled=False, by=me.caller)
    return see_other(request, place_of(name), N_("'%(name)s' is not started any more."), name=name)


@router.get("/{name}/remove")
def ask_to_remove(request: Request, _me: Configurer, parts: Parts, name: Name) -> Response:
    """What goes and what stays; or what is in the way."""
    return _removal(request, parts, workflows.find(parts, name))


@router.post("/{name}/remove")
def remove(request: Request, me: Configurer, parts: Parts, name: Name) -> Response:
    """Unless a rule starts it."""
    workflow = workflows.find(parts, name)
    try:
        workflows.remove(parts, name, by=me.caller)
    except UsageError:
        return _removal(request, parts, workflow, status=_CONFLICT)
    return see_other(request, LIST, N_("'%(name)s' is removed; its runs stay."), name=name)


def place_of(name: str) -> str:
    """Its page."""
    return f"{LIST}/{quote(name, safe='')}"


def _read(
    parts: Concord, given: WorkflowGiven, before: WorkflowSpec | None = None
) -> tuple[WorkflowSpec, list[Mistake]]:
    document, mistakes = document_of(given)
    if before:
        document["name"] = before.name
    workflow, further = workflows.read_form(parts, document, before=before, were=[step.was for step in given.steps])
    told_already = {one.path for one in mistakes}
    return workflow, [*mistakes, *(one for one in further if one.path not in told_already)]


def _form(
    request: Request,
    parts: Concord,
    given: WorkflowGiven,
    *,
    before: WorkflowSpec | None = None,
    marked: str = "",
    mistakes: Sequence[Mistake] = (),
) -> Response:
    overtaken = before is not None and marked != mark(before)
    return render(
        request,
        "workflows/form.html",
        status=_WRONG if mistakes else _CONFLICT if overtaken else 200,
        given=given,
        before=before,
        mark=marked,
        errors=told(mistakes),
        overtaken=overtaken,
        kinds=WorkflowSteps.kinds(),
        kind_words=kind_words,
        usual_timeout=parts.settings.webhook.timeout,
    )


def _removal(request: Request, parts: Concord, workflow: WorkflowSpec, *, status: int = 200) -> Response:
    users = workflows.users_of(parts, workflow.name)
    return render(request, "workflows/remove.html", status=status, workflow=workflow, users=users)
