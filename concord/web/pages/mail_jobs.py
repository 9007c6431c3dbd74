"""Long actions on mail, as they go on: tries, dry runs and replays of many at once."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from concord.errors import NotFoundError
from concord.model.user import Permission
from concord.services.jobs import Job
from concord.services.messages import ReplayTotals
from concord.services.replaying import ReplayPreview
from concord.services.retrying import Retried
from concord.web.error_text import facts_of
from concord.web.jobs import follow, jobs_of
from concord.web.render import render, text_of
from concord.web.visitor import Visitor, page

router = APIRouter(prefix="/admin/jobs", include_in_schema=False)

Me = Annotated[Visitor, Depends(page(Permission.READ))]
Name = Annotated[str, Path(max_length=40)]


@router.get("/{name}")
def job(request: Request, _me: Me, name: Name) -> Response:
    """The page."""
    found = jobs_of(request).get(name)
    if found.action.startswith("service."):
        return RedirectResponse(f"/admin/workers/jobs/{found.id}", 303)
    return render(request, "mail/job.html", **_told(found))


@router.get("/{name}/live")
def live(request: Request, _me: Me, name: Name) -> Response:
    """Its lines as they are said, then what came of it."""
    try:
        found = jobs_of(request).get(name)
    except NotFoundError:
        return Response(status_code=204)

    async def html(_over: bool) -> str:  # noqa: FBT001 - asked by `follow` alone
        return await run_in_threadpool(text_of, request, "mail/_job.html", **_told(found))

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow(request, found, html), media_type="text/event-stream", headers=headers)


def _told(found: Job) -> dict[str, Any]:
    result, error = found.result, found.error
    return {
        "job": found,
        "lines": list(found.lines),
        "facts": facts_of(error) if error else {},
        "preview": result if isinstance(result, ReplayPreview) else None,
        "totals": result if isinstance(result, ReplayTotals) else None,
        "retried": result if isinstance(result, Retried) else None,
    }
