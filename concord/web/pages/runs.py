"""Workflow runs: events going through named steps; failed ones go on where they failed (U3, P9)."""

from __future__ import annotations

import json
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from concord.model.user import Permission
from concord.model.workflow import RunState
from concord.services import workflows as service
from concord.web import wanted
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.lists import given, numbers, turns, view_of, whole_days
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/workflows", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
_LONGEST: Final = 4000  # characters of a step's output
LIST: Final = "/admin/workflows"


@router.get("")
def runs(request: Request, _me: Reader, parts: Parts) -> Response:
    """The newest first."""
    filters = given(request, "state", "workflow", "account", "since", "until")
    marks = given(request, "before", "after")
    listing = parts.lists.runs(wanted.runs(whole_days(filters)), view_of(marks["before"], marks["after"]))
    return render(
        request,
        "mail/runs.html",
        filters=filters,
        listing=listing,
        turns=turns(request, filters, listing),
        workflows=[spec.name for spec in parts.rulebook.workflows()],
        accounts=parts.accounts.names(),
        states=list(RunState),
    )


@router.get("/{run_id}")
def run(request: Request, _me: Reader, parts: Parts, run_id: Id) -> Response:
    """One, step by step."""
    found = parts.outbox.run(run_id)
    done = {step.position: step for step in found.steps}
    outputs = {place: json.dumps(step.output, ensure_ascii=False, indent=2)[:_LONGEST] for place, step in done.items()}
    event = parts.outbox.event(found.event_id)
    return render(request, "mail/run.html", run=found, event=event, done=done, outputs=outputs)


@router.post("/retry")
def retry(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """Failed ones go on at the step that failed."""
    ids = numbers(form.all("id"))
    if not ids:
        return see_other(request, LIST, N_("Nothing was chosen."), kind="warn")
    done = service.retry_runs(parts, ids, by=me.caller)
    place = f"{LIST}/{ids[0]}" if len(ids) == 1 else LIST
    return see_other(request, place, N_("Runs that go on: %(count)s."), count=len(done.changed))
