"""Running many messages again as a job: all processed ones of a mailbox, of a time, with some words (P18)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import Field

from concord.model.progress import Told
from concord.model.user import Permission
from concord.services import messages, replaying
from concord.services.replaying import Replay
from concord.web import wanted
from concord.web.api.jobs import JobOut
from concord.web.jobs import jobs_of
from concord.web.rest import ROOT, Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("messages", tag="Mail")

Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Text = Annotated[str, Field(max_length=300)]
Moment = Annotated[str, Field(max_length=40)]


class RangeIn(Model):
    """Which messages: at least one of account, folder, priority, q, since and until. Only processed ones are meant."""

    account: Text | None = None
    folder: Text | None = None
    priority: Text | None = Field(default=None, description="high, normal or low.")
    q: Text | None = Field(default=None, description="Words of subject or sender.")
    since: Moment | None = Field(default=None, description="Seen from then on: `2026-01-31`, or RFC 3339; else UTC.")
    until: Moment | None = Field(default=None, description="Seen before then.")
    handlers: Annotated[list[Text], Field(max_length=100)] = Field(
        default_factory=list, description="Only to these; none: as the rules say now."
    )
    dry_run: bool = Field(default=False, description="Only say what would be done.")
    wait: float = Field(default=0, ge=0, le=60, description="Seconds to wait for the end.")


@router.post(
    "/replay-range",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs(Permission.OPERATE),
    responses={409: {"description": "Another such action is under way; `facts` says whose."}},
)
def replay_range(asked: RangeIn, request: Request, answer: Response, me: Operator, parts: Parts) -> JobOut:
    """Send all that are like that to their handlers again. The job tells how far it is, and its `replay` the end."""
    narrowed = wanted.messages(asked.model_dump(include={"account", "folder", "priority", "q", "since", "until"}))
    choice = Replay(wanted=narrowed, handlers=tuple(asked.handlers))
    replaying.refuse_everything(choice)
    messages.refuse_unknown(parts, choice.handlers)

    def preview(told: Told) -> object:
        return replaying.preview(parts, choice, told=told)

    def replay(told: Told) -> object:
        ids = replaying.found(parts, narrowed, told)
        return messages.replay_many(parts, ids, choice.handlers, subject=choice.subject, by=me.caller, told=told)

    action, work = ("message.preview", preview) if asked.dry_run else ("message.replay", replay)
    jobs = jobs_of(request)
    job = jobs.start(action, choice.subject, work, by=me.caller)
    jobs.wait(job, timeout=asked.wait)
    answer.headers["Location"] = f"{ROOT}/jobs/{job.id}"
    return JobOut.of(job)
