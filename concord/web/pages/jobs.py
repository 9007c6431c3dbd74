"""A long action, as it goes on: line by line while somebody looks, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import from_thread
from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from concord.errors import DaemonFailedError, NotFoundError
from concord.manager.control import Moved
from concord.manager.status import Status
from concord.model.daemon import Activity
from concord.model.user import Permission
from concord.services.jobs import Job
from concord.web.error_text import facts_of
from concord.web.jobs import follow, jobs_of
from concord.web.render import render, text_of
from concord.web.visitor import Visitor, page
from concord.web.watch import VERDICTS, look_anew, of_set, shown

router = APIRouter(prefix="/admin/workers/jobs", include_in_schema=False)

Me = Annotated[Visitor, Depends(page(Permission.READ))]
Name = Annotated[str, Path(max_length=40)]


@router.get("/{name}")
def job(request: Request, _me: Me, name: Name) -> Response:
    """The page. One of a process that is gone is told as that, with what runs now."""
    status = from_thread.run(look_anew, request)
    try:
        found = jobs_of(request).get(name)
    except NotFoundError as error:
        return render(request, "workers/gone.html", status=404, error=error, **_now(status))
    return render(request, "workers/job.html", **_told(found, status))


@router.get("/{name}/live")
def live(request: Request, _me: Me, name: Name) -> Response:
    """Each line as it is said; then how it ended."""
    try:
        found = jobs_of(request).get(name)
    except NotFoundError:
        return Response(status_code=204)

    async def html(over: bool) -> str:  # noqa: FBT001 - asked by `follow` alone
        status = await look_anew(request) if over else None
        return await run_in_threadpool(text_of, request, "workers/_job.html", **_told(found, status))

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow(request, found, html), media_type="text/event-stream", headers=headers)


def _told(found: Job, status: Status | None) -> dict[str, Any]:
    error = found.error
    return {
        "job": found,
        "lines": list(found.lines),
        "facts": facts_of(error) if error else {},
        "log": error.log if isinstance(error, DaemonFailedError) else (),
        "moved": found.result if isinstance(found.result, Moved) else None,
        **(_now(status) if status else {"seen": None, "daemons": [], "up": [], "verdict": ""}),
    }


def _now(status: Status) -> dict[str, Any]:
    """What runs at this moment."""
    return {
        "seen": status,
        "daemons": shown(status),
        "up": of_set(status, Activity.RUNNING, Activity.STARTING, Activity.STOPPING),
        "verdict": VERDICTS[status.verdict],
    }
