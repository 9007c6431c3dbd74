"""Long actions: how each goes, and how it ended. They are of the running admin service and end with it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from pydantic import Field

from concord.errors import DaemonFailedError
from concord.manager.control import Moved
from concord.model.user import Permission
from concord.services.jobs import Job, JobState
from concord.services.messages import ReplayTotals
from concord.services.replaying import ReplayPreview
from concord.services.retrying import Retried
from concord.web import error_text
from concord.web.api.mail_models import RetriedOut
from concord.web.error_text import facts_of
from concord.web.i18n import gettext
from concord.web.jobs import jobs_of
from concord.web.pages.sync import Stats
from concord.web.problem import status_of
from concord.web.rest import Model, Page, Problem, api_router, needs, not_found
from concord.web.visitor import Visitor, api
from concord.wording.template import fill

_FAILURES: Final = 50
router = api_router("jobs", tag="Workers")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Name = Annotated[str, Path(max_length=40, description="As the call that began it said.")]


class ReplayFailure(Model):
    """A message that cannot be run again, and why."""

    message_id: int
    detail: str
    remedy: str


class JobLine(Model):
    """What it said once."""

    at: datetime
    text: str = Field(description="In the language of Accept-Language.")


class ReplayTold(Model):
    """What a replay of many messages did, or would do."""

    dry_run: bool
    messages: int = Field(description="In a dry run, all that would be replayed.")
    tried: int = Field(description="On so many of them, the first, the rules were tried.")
    deliveries: int = Field(description="New ones, from those that were tried.")
    reprocessed: int = Field(description="They had no event yet, and are processed like new mail.")
    failed: int
    failures: list[ReplayFailure] = Field(description="Some of them.")
    to: dict[str, int] = Field(description="In a dry run: what each handler would get.")
    matched: dict[str, int] = Field(description="In a dry run: how many each rule matches.")

    @classmethod
    def of(cls, result: object) -> ReplayTold | None:
        """None for the result of another action."""
        if isinstance(result, ReplayPreview):
            done, tried, reprocessed, to, matched = len(result.ids), result.tried, 0, result.to, result.matched
        elif isinstance(result, ReplayTotals):
            done, tried, reprocessed = result.messages, result.messages + result.failed, result.reprocessed
            to = matched = ()
        else:
            return None
        return cls(
            dry_run=isinstance(result, ReplayPreview),
            messages=done,
            tried=tried,
            deliveries=result.deliveries,
            reprocessed=reprocessed,
            failed=result.failed,
            failures=[
                ReplayFailure(
                    message_id=number, detail=error_text.sentence(error), remedy=error_text.remedy_for_programs(error)
                )
                for number, error in result.failures[:_FAILURES]
            ],
            to=dict(to),
            matched=dict(matched),
        )


class JobOut(Model):
    """A long action."""

    id: str
    action: str = Field(description="`service.start`, say; as in the audit.")
    subject: str = Field(description="`all`, or the daemon that it is about.")
    by: str
    state: JobState
    started_at: datetime
    ended_at: datetime | None
    lines: list[JobLine]
    problem: Problem | None = Field(description="Why it failed, and what to do.")
    daemons: list[str] | None = Field(description="What was moved, once that is done.")
    sync: Stats | None = Field(description="What became of the schedule after a start.")
    retried: RetriedOut | None = Field(description="What came of trying many again.")
    replay: ReplayTold | None = Field(description="What a replay of many messages did, or would do.")

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """As the API tells it."""
        moved = job.result if isinstance(job.result, Moved) else None
        return cls(
            id=job.id,
            action=job.action,
            subject=job.subject,
            by=job.by.actor,
            state=job.state,
            started_at=job.started_at,
            ended_at=job.ended_at,
            lines=[JobLine(at=line.at, text=fill(gettext(line.sentence), line.values)) for line in list(job.lines)],
            problem=_problem(job),
            daemons=list(moved.daemons) if moved else None,
            sync=Stats.of(moved.sync) if moved and moved.sync else None,
            replay=ReplayTold.of(job.result),
            retried=RetriedOut.of(job.result) if isinstance(job.result, Retried) else None,
        )


@router.get("", openapi_extra=needs(Permission.READ))
def list_jobs(request: Request, _me: Reader) -> Page[JobOut]:
    """Those that this admin service remembers, the newest first."""
    return Page(items=[JobOut.of(job) for job in jobs_of(request).recent()])


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def get_job(request: Request, _me: Reader, name: Name) -> JobOut:
    """One of them. It is not known any more after a day, or once the admin service has been started anew."""
    return JobOut.of(jobs_of(request).get(name))


def _problem(job: Job) -> Problem | None:
    if job.state is not JobState.FAILED:
        return None
    if job.error is None:
        told: dict[str, Any] = {"detail": gettext("Something happened that Concord did not expect.")}
        return Problem(type="about:blank", title="Internal Server Error", status=500, **told)
    status = status_of(job.error)
    return Problem(
        type=f"urn:concord:problem:{job.error.code}",
        title=status.phrase,
        status=status,
        situation=job.error.situation,
        detail=error_text.sentence(job.error),
        remedy=error_text.remedy_for_programs(job.error) or None,
        facts=facts_of(job.error) or None,
        log=list(job.error.log) if isinstance(job.error, DaemonFailedError) else None,
    )
