"""The long actions of this process, for pages and API; and toggles of daemons among them."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request

from concord.bootstrap import Concord, now
from concord.errors import UsageError
from concord.manager.units import chosen
from concord.model.caller import Caller
from concord.model.daemon import ADMIN, Verb
from concord.model.progress import Told
from concord.services.jobs import Job, Jobs

ALL: Final = "all"


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
        raise UsageError(
            "The admin service can only be restarted from here",
            remedy="Nobody could start it again from here; at a shell: systemctl stop concord-admin",
        )
    manager = parts.manager
    move = {Verb.START: manager.start, Verb.STOP: manager.stop, Verb.RESTART: manager.restart}[verb]

    def work(told: Told) -> object:
        return move(only, by=by, told=told)

    return jobs_of(request).start(f"service.{verb}", only or ALL, work, by=by)
