"""The mail service as a whole and each of its daemons: how it does, starting, stopping, restarting, last lines."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from anyio import from_thread
from fastapi import Depends, Query, Request, Response
from pydantic import Field

from concord.manager.status import DaemonRow, Status, Verdict
from concord.model.daemon import Activity, Verb
from concord.model.user import Permission
from concord.ports import WorkerPulse
from concord.services import schedule
from concord.web import error_text
from concord.web.api.jobs import JobOut
from concord.web.error_text import facts_of
from concord.web.jobs import jobs_of, toggle
from concord.web.pages.sync import Stats
from concord.web.rest import ROOT, Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api
from concord.web.watch import look_anew

router = api_router("service", tag="Workers")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Syncer = Annotated[Visitor, Depends(api(Permission.SYNC))]
Wait = Annotated[float, Query(ge=0, le=600, description="Seconds to wait for the end before answering.")]
Only = Annotated[
    str | None,
    Query(max_length=40, description="`beat`, `worker` (all of them), `worker@NAME`, `flower`, `admin`; else the set."),
]
Daemon = Annotated[str, Query(max_length=40, description="`beat`, `worker@NAME`, `flower` or `admin`.")]
Lines = Annotated[int, Query(ge=1, le=1000)]


class DaemonOut(Model):
    """One daemon. What is null is not known, or does not apply."""

    name: str
    unit: str
    activity: Activity | None
    since: datetime | None
    pid: int | None
    memory: int | None = Field(description="Octets.")
    tasks: int | None = Field(description="Since it started.")
    queue: str | None
    waiting: int | None = Field(description="Tasks in its queue.")
    last_tick: datetime | None
    works: bool | None = Field(description="Whether it proves that it works.")
    outdated: list[str] = Field(description="Settings that hold from its next start only.")
    detail: str

    @classmethod
    def of(cls, row: DaemonRow) -> DaemonOut:
        """As the API tells it."""
        return cls(
            **{name: getattr(row, name) for name in cls.model_fields if name != "outdated"}, outdated=list(row.outdated)
        )


class ElsewhereOut(Model):
    """A worker of another host."""

    node: str
    at: datetime
    started_at: datetime
    tasks: int
    memory: int

    @classmethod
    def of(cls, pulse: WorkerPulse) -> ElsewhereOut:
        """As the API tells it."""
        return cls(node=pulse.node, at=pulse.at, started_at=pulse.started_at, tasks=pulse.tasks, memory=pulse.memory)


class TroubleOut(Model):
    """Something that could not be asked, or is wrong."""

    what: str
    detail: str
    remedy: str
    facts: dict[str, str]


class ServiceOut(Model):
    """All of it at one moment."""

    at: datetime
    verdict: Verdict
    supervisor: str | None = Field(description="`systemd` or `supervisord`.")
    daemons: list[DaemonOut]
    elsewhere: list[ElsewhereOut]
    unacked: int | None = Field(description="Tasks in workers' hands.")
    troubles: list[TroubleOut]

    @classmethod
    def of(cls, status: Status) -> ServiceOut:
        """As the API tells it."""
        return cls(
            at=status.at,
            verdict=status.verdict,
            supervisor=status.supervisor,
            daemons=[DaemonOut.of(row) for row in status.daemons],
            elsewhere=[ElsewhereOut.of(pulse) for pulse in status.elsewhere],
            unacked=status.unacked,
            troubles=[
                TroubleOut(
                    what=one.what,
                    detail=error_text.sentence(one.error),
                    remedy=error_text.remedy_for_programs(one.error),
                    facts=facts_of(one.error),
                )
                for one in status.troubles
            ],
        )


@router.get("", openapi_extra=needs(Permission.READ))
def get_service(request: Request, _me: Reader) -> ServiceOut:
    """How all daemons do: what systemd or supervisord, the daemons themselves and the queues say."""
    return ServiceOut.of(from_thread.run(look_anew, request))


@router.get("/log", openapi_extra=needs(Permission.READ))
def get_log(_me: Reader, parts: Parts, daemon: Daemon, lines: Lines = 40) -> list[str]:
    """The last lines that a daemon wrote, the oldest first."""
    return parts.manager.log_tail(daemon, lines).get(daemon, [])


@router.post("/sync", openapi_extra=needs(Permission.SYNC))
def sync(me: Syncer, parts: Parts) -> Stats:
    """Make the schedule equal to the mailboxes. Doing it twice changes nothing."""
    return Stats.of(schedule.sync(parts, by=me.caller))


@router.post(
    "/{verb}",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs(Permission.OPERATE),
    responses={409: {"description": "Another such action is under way; `facts` says whose."}},
)
def move(  # noqa: PLR0913, PLR0917 - filled in by the framework, each by its name
    request: Request, answer: Response, me: Operator, parts: Parts, verb: Verb, only: Only = None, wait: Wait = 0
) -> JobOut:
    """Start, stop or restart daemons; the job says how it goes, `wait` waits for its end.

    A start ends when each daemon works: a task comes back from every worker, and Beat ticks; then the schedule is made
    equal to the mailboxes. A stop is warm: running tasks are finished first.
    """
    job = toggle(request, parts, verb, only, by=me.caller)
    jobs_of(request).wait(job, timeout=wait)
    answer.headers["Location"] = f"{ROOT}/jobs/{job.id}"
    return JobOut.of(job)
