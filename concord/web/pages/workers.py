"""The daemons: how each does, live; starting, stopping and restarting them; their last lines (U1)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from anyio import from_thread
from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from concord.errors import ConcordError, SettingsError
from concord.manager.status import Status
from concord.manager.units import chosen
from concord.model.daemon import Verb
from concord.model.user import Permission
from concord.services import schedule
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.jobs import jobs_of, toggle
from concord.web.live import stream
from concord.web.problem import Refusal
from concord.web.render import render, text_of
from concord.web.visitor import Parts, Visitor, page
from concord.web.watch import VERDICTS, Shown, look_anew, shown, watch_of

router = APIRouter(prefix="/admin/workers", include_in_schema=False)

LIST: Final = "/admin/workers"
Me = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Syncer = Annotated[Visitor, Depends(page(Permission.SYNC))]
Daemon = Annotated[str, Path(max_length=40, pattern=r"^(beat|flower|admin|worker@[a-z][a-z0-9_]{0,30})$")]
_EVERY_SECONDS: Final = 2.0
_LOG_LINES: Final = 40
_JOBS: Final = 5


@router.get("")
def workers(request: Request, _me: Me) -> Response:
    """The page."""
    status = from_thread.run(look_anew, request)
    jobs = [job for job in jobs_of(request).recent() if job.action.startswith("service.")]
    return render(request, "workers/workers.html", **_context(status), jobs=jobs[:_JOBS])


@router.get("/live")
def live(request: Request, _me: Me) -> Response:
    """Each part as it changes."""
    watch = watch_of(request)

    async def parts() -> Mapping[str, str]:
        return await run_in_threadpool(_fragments, request, await watch.look())

    return stream(request, parts, every=_EVERY_SECONDS)


@router.post("/service/{verb}")
def move(request: Request, me: Operator, parts: Parts, form: Form, verb: Verb) -> Response:
    """Begin it, and show how it goes."""
    job = toggle(request, parts, verb, form.text("only") or None, by=me.caller)
    return see_other(request, f"{LIST}/jobs/{job.id}")


@router.post("/sync")
def sync(request: Request, me: Syncer, parts: Parts) -> Response:
    """Make the schedule equal to the accounts."""
    stats = schedule.sync(parts, by=me.caller)
    return see_other(
        request,
        LIST,
        N_("The mail tasks are in sync: %(added)s added, %(removed)s removed, %(updated)s updated, %(total)s in all."),
        added=stats.added,
        removed=stats.removed,
        updated=stats.updated,
        total=stats.total,
    )


@router.get("/{name}")
def daemon(request: Request, _me: Me, parts: Parts, name: Daemon) -> Response:
    """One daemon: its facts, what it runs with, its last lines."""
    one = _one(from_thread.run(look_anew, request), name)
    config = trouble = None
    if one.instance:
        try:
            config = parts.workers.config(one.instance)
        except SettingsError as error:
            trouble = error
    return render(
        request,
        "workers/daemon.html",
        one=one,
        config=config,
        trouble=trouble,
        facts=facts_of(trouble) if trouble else {},
        **_said(parts, name),
    )


@router.get("/{name}/live")
def daemon_live(request: Request, _me: Me, parts: Parts, name: Daemon) -> Response:
    """The same, as it changes."""
    watch = watch_of(request)

    def fragments(status: Status) -> Mapping[str, str]:
        one = _one(status, name)
        return {
            f"d-{one.id}": text_of(request, "workers/_daemon.html", one=one),
            "log": text_of(request, "workers/_log.html", **_said(parts, name)),
        }

    async def changed() -> Mapping[str, str]:
        return await run_in_threadpool(fragments, await watch.look())

    return stream(request, changed, every=_EVERY_SECONDS)


@router.get("/{name}/log")
def log(request: Request, _me: Me, parts: Parts, name: Daemon) -> Response:
    """Its last lines alone, for the list of all daemons."""
    chosen(name, parts.workers.instances())
    return render(request, "workers/_log.html", **_said(parts, name))


def _one(status: Status, name: str) -> Shown:
    for one in shown(status):
        if one.row.name == name:
            return one
    raise Refusal(HTTPStatus.NOT_FOUND, N_("There is no such daemon."), remedy=N_("See the page 'Workers'"))


def _said(parts: Parts, name: str) -> dict[str, Any]:
    """What the daemon wrote last; or why that cannot be read."""
    try:
        return {"lines": parts.manager.log_tail(name, _LOG_LINES)[name], "unread": None}
    except ConcordError as error:
        return {"lines": [], "unread": error}


def _context(status: Status) -> dict[str, Any]:
    troubles = [(trouble, facts_of(trouble.error)) for trouble in status.troubles]
    return {"seen": status, "verdict": VERDICTS[status.verdict], "daemons": shown(status), "troubles": troubles}


def _fragments(request: Request, status: Status) -> dict[str, str]:
    """By the ids of their elements."""
    found = {"service": text_of(request, "workers/_service.html", **_context(status))}
    for one in shown(status):
        found[f"d-{one.id}"] = text_of(request, "workers/_daemon.html", one=one)
    return found
