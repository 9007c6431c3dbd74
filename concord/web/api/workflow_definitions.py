"""Workflows as they are defined: named steps in order, started by rules. Their runs are another noun."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Response

from concord.errors import Mistake, MistakesError
from concord.model.rule import WorkflowSpec
from concord.model.user import Permission
from concord.services import workflows
from concord.web.book_models import WorkflowChange, WorkflowIn, WorkflowOut
from concord.web.rest import Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("workflow-definitions", tag="Workflows")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=100, description="The workflow's name.")]
_TAKEN: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "There is a workflow of that name already."}}
_USED: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "Rules start it."}}


@router.get("", openapi_extra=needs(Permission.READ))
def list_workflow_definitions(me: Reader, parts: Parts) -> Page[WorkflowOut]:
    """All, by name."""
    rules = parts.rulebook.rules()
    return Page(items=[WorkflowOut.of(one, parts, me, rules=rules) for one in parts.rulebook.workflows()])


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.CONFIGURE), responses=_TAKEN)
def add_workflow_definition(wanted: WorkflowIn, me: Configurer, parts: Parts) -> WorkflowOut:
    """Keep a new one. Every mistake is told with its place."""
    workflow = _accepted(*workflows.read_form(parts, wanted.document(wanted.name)))
    return WorkflowOut.of(workflows.save(parts, workflow, by=me.caller), parts, me)


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def show_workflow_definition(name: Name, me: Reader, parts: Parts) -> WorkflowOut:
    """One workflow."""
    return WorkflowOut.of(workflows.find(parts, name), parts, me)


@router.put("/{name}", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def change_workflow_definition(name: Name, wanted: WorkflowChange, me: Configurer, parts: Parts) -> WorkflowOut:
    """Put this in its place; runs under way keep the steps they began with."""
    before = workflows.find(parts, name)
    workflow = _accepted(*workflows.read_form(parts, wanted.document(name), before=before))
    return WorkflowOut.of(workflows.save(parts, workflow, replacing=True, by=me.caller), parts, me)


@router.delete(
    "/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=needs(Permission.CONFIGURE),
    responses={**not_found(), **_USED},
)
def remove_workflow_definition(name: Name, me: Configurer, parts: Parts) -> Response:
    """Forget it, unless rules start it. Its runs stay, and go on."""
    workflows.remove(parts, name, by=me.caller)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/{name}/enable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def enable_workflow_definition(name: Name, me: Operator, parts: Parts) -> WorkflowOut:
    """Start it from now on."""
    return WorkflowOut.of(workflows.switch(parts, name, enabled=True, by=me.caller), parts, me)


@router.post("/{name}/disable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def disable_workflow_definition(name: Name, me: Operator, parts: Parts) -> WorkflowOut:
    """Do not start it any more; runs under way go on."""
    return WorkflowOut.of(workflows.switch(parts, name, enabled=False, by=me.caller), parts, me)


def _accepted(workflow: WorkflowSpec, mistakes: Sequence[Mistake]) -> WorkflowSpec:
    """Raises MistakesError."""
    if mistakes:
        raise MistakesError("workflow", mistakes=tuple(mistakes), workflow=workflow.name)
    return workflow
