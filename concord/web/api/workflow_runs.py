"""Workflow runs: events going through named steps; failed ones go on where they failed (P9)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import Field

from concord.model.listing import ListedRun
from concord.model.user import Permission
from concord.model.workflow import RunState, WorkflowRun
from concord.services import workflows as service
from concord.web import wanted
from concord.web.api.mail_models import ChosenIn, Id, ListedRunOut, Lookings, RetriedOut, Since, Text, Until
from concord.web.api.story import WithStory
from concord.web.lists import view_of
from concord.web.rest import Cursor, Limit, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("workflow-runs", tag="Mail")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]


class RunStepOut(WithStory):
    """A step of a run, done or still to come."""

    position: int
    name: str
    kind: str
    state: RunState | None = Field(description="Null: it has not begun.")
    attempts: int
    finished_at: datetime | None


class RunDetail(ListedRunOut):
    """A run, step by step."""

    steps: list[RunStepOut]


def narrowing(
    state: RunState | None = None,
    workflow: Text = None,
    account: Text = None,
    event: UUID | None = None,
    since: Since = None,
    until: Until = None,
) -> wanted.Filters:
    """What the list is narrowed to."""
    of = str(event) if event else None
    return {"state": state, "workflow": workflow, "account": account, "event": of, "since": since, "until": until}


@router.get("", openapi_extra=needs(Permission.READ))
def list_runs(
    _me: Reader,
    parts: Parts,
    filters: Annotated[wanted.Filters, Depends(narrowing)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Lookings[ListedRunOut]:
    """By when they were made, the newest first."""
    listing = parts.lists.runs(wanted.runs(filters), view_of(cursor, None, limit=limit))
    return Lookings[ListedRunOut].of(listing, ListedRunOut.of)


@router.get("/{run_id}", openapi_extra=needs(Permission.READ), responses=not_found())
def get_run(run_id: Id, _me: Reader, parts: Parts) -> RunDetail:
    """One run with its steps, as they were when it began."""
    run = parts.outbox.run(run_id)
    event = parts.outbox.event(run.event_id)
    listed = ListedRunOut.of(ListedRun(run=run, account=event.account, subject=event.subject))
    return RunDetail(**dict(listed), steps=_steps(run))


@router.post("/retry", openapi_extra=needs(Permission.OPERATE))
def retry_runs(chosen: ChosenIn, me: Operator, parts: Parts) -> RetriedOut:
    """Go on with failed ones at the step that failed."""
    return RetriedOut.of(service.retry_runs(parts, list(dict.fromkeys(chosen.ids)), by=me.caller))


def _steps(run: WorkflowRun) -> list[RunStepOut]:
    begun = {step.position: step for step in run.steps}
    steps = []
    for position, spec in enumerate(run.specs):
        step = begun.get(position)
        steps.append(
            RunStepOut(
                position=position,
                name=spec.name,
                kind=spec.kind,
                state=step.state if step else None,
                attempts=step.attempts if step else 0,
                error=step.error if step else None,
                finished_at=step.finished_at if step else None,
            )
        )
    return steps
