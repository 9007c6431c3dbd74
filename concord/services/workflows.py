"""Workflows as they are defined, and their runs: events going through named steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from concord.auditing import audited
from concord.errors import (
    ConflictError,
    ExistsError,
    Mistake,
    NotFoundError,
    QueueDownError,
    UsageError,
    nearest,
)
from concord.handlers import WorkflowSteps, reach
from concord.handlers.showing import shown
from concord.model.caller import Caller
from concord.model.rule import Rule, WorkflowSpec, WorkflowStepSpec
from concord.pipeline.book_document import read_workflow, workflow_to_document
from concord.services.differences import differing
from concord.services.handlers import HandlerChecks, revealed
from concord.services.retrying import Retried, listed, numbered

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def find(parts: Concord, name: str) -> WorkflowSpec:
    """Raises NotFoundError."""
    known = {spec.name: spec for spec in parts.rulebook.workflows()}
    if name not in known:
        raise NotFoundError("workflow", workflow=name, near=nearest(name, known))
    return known[name]


def read_form(
    parts: Concord,
    document: Mapping[str, Any],
    *,
    before: WorkflowSpec | None = None,
    were: Sequence[str] | None = None,
) -> tuple[WorkflowSpec, list[Mistake]]:
    """A workflow as a form says it, and every mistake with its field; URLs that must not be called are some, too.

    Values of headers that were not shown are those of the step of `before` with that name; `were` has, for each step,
    the name it had then.
    """
    spec, mistakes = read_workflow(document)
    kept = {step.name: step.options for step in before.steps} if before else {}
    steps: list[WorkflowStepSpec] = []
    for place, step in enumerate(spec.steps):
        former = were[place] if were and place < len(were) else step.name
        options, found = revealed(step.kind, step.options, kept.get(former, {}))
        steps.append(step := replace(step, options=options))
        found += WorkflowSteps.mistakes(step.kind, step.options) if step.kind else []
        unread = any(one.path[:2] == ("options", "url") for one in found)
        refused = None if unread else reach.refusal(step.kind, step.options, parts.tools)
        if refused:
            found.append(Mistake(("options", "url"), refused.recast(UsageError)))
        mistakes += [Mistake(("steps", place, *one.path), one.error) for one in found]
    return replace(spec, steps=tuple(steps)), mistakes


def save(parts: Concord, spec: WorkflowSpec, *, replacing: bool = False, by: Caller) -> WorkflowSpec:
    """Keep a new one, or in place of the one of that name; runs under way keep their steps.

    Raises UsageError, ExistsError.
    """
    for step in spec.steps:
        HandlerChecks().step(step)
        if refused := reach.refusal(step.kind, step.options, parts.tools):
            raise refused.recast(UsageError, step=step.name)
    before = next((known for known in parts.rulebook.workflows() if known.name == spec.name), None)
    if before and not replacing:
        raise ExistsError("workflow", workflow=spec.name)
    detail = differing(_shown(before) if before else {}, _shown(spec))
    if before and not detail and workflow_to_document(before) != workflow_to_document(spec):
        detail = "options of steps"
    with audited(parts.audit, by, "workflow.edit" if before else "workflow.add", spec.name, detail=detail):
        return parts.rulebook.save_workflow(spec)


def switch(parts: Concord, name: str, *, enabled: bool, by: Caller) -> WorkflowSpec:
    """Start it from now on, or not any more. Raises NotFoundError."""
    with audited(parts.audit, by, "workflow.enable" if enabled else "workflow.disable", name):
        return parts.rulebook.save_workflow(replace(find(parts, name), enabled=enabled))


def users_of(parts: Concord, name: str) -> list[Rule]:
    """The rules that start it."""
    return [rule for rule in parts.rulebook.rules() if name in rule.workflows]


def remove(parts: Concord, name: str, *, by: Caller) -> None:
    """Forget it; its runs stay, and go on. Raises NotFoundError, and ConflictError where rules start it."""
    with audited(parts.audit, by, "workflow.remove", name):
        find(parts, name)
        if users := users_of(parts, name):
            raise ConflictError("workflow_used", workflow=name, rules=", ".join(rule.name for rule in users))
        parts.rulebook.remove_workflow(name)


def retry_runs(parts: Concord, ids: Sequence[int], *, by: Caller) -> Retried:
    """Go on with failed runs at the step that failed."""
    with audited(parts.audit, by, "run.retry", numbered(ids, "run")) as note:
        changed = parts.outbox.retry_runs(ids)
        note.detail = listed(changed)
        trouble = None
        try:
            parts.queue.advance(parts.outbox.waiting_runs(changed))
        except QueueDownError as error:
            trouble = error
    return Retried.of(ids, changed, trouble)


def _shown(spec: WorkflowSpec) -> dict[str, Any]:
    """As the audit may have it: URLs without what may be a token."""
    steps = [{"name": step.name, "kind": step.kind, "options": shown(step.kind, step.options)} for step in spec.steps]
    return {**workflow_to_document(spec), "steps": steps}
