"""The long actions of this process, for pages and API; and toggles of daemons among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from fastapi import FastAPI, Request

from concord.bootstrap import Concord, now
from concord.errors import UsageError
from concord.manager.units import chosen
from concord.model.caller import Caller
from concord.model.daemon import ADMIN, Verb
from concord.model.progress import Told
from concord.services.jobs import Job, Jobs, JobState, Work
from concord.web.live import event, is_over, pause

ALL: Final = "all"
# What is done so soon needs no page of its own.
_SOON_SECONDS: Final = 2.0
_EVERY_SECONDS: Final = 0.5
_BEAT_TURNS: Final = 30
_LONGEST_TURNS: Final = 600


def jobs_in(app: FastAPI) -> Jobs:
    """Those of an application."""
    if not hasattr(app.state, "jobs"):
        app.state.jobs = Jobs(now)
    jobs: Jobs = app.state.jobs
    return jobs


def jobs_of(request: Request) -> Jobs:
    """Those of the application that answers."""
    app: FastAPI = request.app
    return jobs_in(app)


def toggle(request: Request, parts: Concord, verb: Verb, only: str | None, *, by: Caller) -> Job:
    """Begin to start, stop or restart daemons. Raises UnknownDaemonError, ConflictError, UsageError."""
    chosen(only, parts.workers.instances())
    if only == ADMIN and verb is not Verb.RESTART:
        raise UsageError("admin_restart_only")
    manager = parts.manager
    move = {Verb.START: manager.start, Verb.STOP: manager.stop, Verb.RESTART: manager.restart}[verb]

    def work(told: Told) -> object:
        return move(only, by=by, told=told)

    return jobs_of(request).start(f"service.{verb}", only or ALL, work, by=by)


def soon(request: Request, action: str, subject: str, work: Work, *, by: Caller) -> Job:
    """Begin it, and see whether it is done in a moment. Raises ConflictError, and what it failed with by then."""
    jobs = jobs_of(request)
    job = jobs.start(action, subject, work, by=by)
    jobs.wait(job, timeout=_SOON_SECONDS)
    if job.error:
        raise job.error
    return job


async def follow(request: Request, job: Job, shown: Callable[[bool], Awaitable[str]]) -> AsyncIterator[str]:
    """Server-sent events of a job: its HTML as it changes, until it is over. `shown` is told whether it is."""
    yield "retry: 1000\n\n"
    sent = ""
    for turn in range(_LONGEST_TURNS):
        # Where the service itself ends, the browser asks the next one, which says so.
        if is_over() or await request.is_disconnected():
            return
        # Asked before the page is made: what it shows then is the end.
        over = job.state is not JobState.RUNNING
        html = await shown(over)
        if html != sent:
            sent = html
            yield event(html)
        elif turn % _BEAT_TURNS == 0:
            yield ":\n\n"
        if over:
            yield "event: end\ndata:\n\n"
            return
        await pause(_EVERY_SECONDS)
