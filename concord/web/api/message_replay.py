"""Running messages again from the archive, with a dry run that only says what would be done (P18)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from concord.errors import ConcordError
from concord.model.user import Permission
from concord.pipeline.replay import Replayed
from concord.services import messages
from concord.services.messages import ReplayReport
from concord.services.retrying import numbered
from concord.web import error_text
from concord.web.api.mail_models import Number
from concord.web.error_text import facts_of
from concord.web.rest import Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("messages", tag="Mail")

Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Handler = Annotated[str, Field(max_length=300)]


class ReplayIn(Model):
    """Which messages, and to whom."""

    ids: Annotated[list[Number], Field(min_length=1, max_length=200)]
    handlers: Annotated[list[Handler], Field(max_length=100)] = Field(
        default_factory=list, description="Only to these; none: as the rules say now."
    )
    dry_run: bool = Field(default=False, description="Only say what would be done.")


class ReplayedOut(Model):
    """What became of one message, or would."""

    message_id: int
    matched: list[str] = Field(description="The rules that match it now.")
    handlers: list[str]
    deliveries: list[int] = Field(description="The new ones; none in a dry run.")
    reprocessed: bool = Field(description="It had no event yet, and is processed like new mail.")

    @classmethod
    def of(cls, done: Replayed) -> ReplayedOut:
        """As the API tells it."""
        return cls(
            message_id=done.message.id,
            matched=list(done.matched),
            handlers=list(done.handlers),
            deliveries=list(done.deliveries),
            reprocessed=done.reprocessed,
        )


class NotReplayedOut(Model):
    """A message that cannot be run again, and why."""

    message_id: int
    detail: str = Field(description="In the language of Accept-Language, as the remedy.")
    remedy: str
    facts: dict[str, str]

    @classmethod
    def of(cls, number: int, error: ConcordError) -> NotReplayedOut:
        """In the reader's words."""
        return cls(
            message_id=number,
            detail=error_text.sentence(error),
            remedy=error_text.remedy_for_programs(error),
            facts=facts_of(error),
        )


class ReplayOut(Model):
    """What running them again did, or would do."""

    dry_run: bool
    done: list[ReplayedOut]
    failed: list[NotReplayedOut]

    @classmethod
    def of(cls, report: ReplayReport, *, dry_run: bool) -> ReplayOut:
        """As the API tells it."""
        return cls(
            dry_run=dry_run,
            done=[ReplayedOut.of(one) for one in report.done],
            failed=[NotReplayedOut.of(number, error) for number, error in report.failed],
        )


@router.post("/replay", openapi_extra=needs(Permission.OPERATE))
def replay_messages(wanted: ReplayIn, me: Operator, parts: Parts) -> ReplayOut:
    """Send messages to their handlers again, as the present rules say, or to some only. No workflow begins again."""
    ids = list(dict.fromkeys(wanted.ids))
    if wanted.dry_run:
        return ReplayOut.of(messages.preview(parts, ids, wanted.handlers), dry_run=True)
    subject = numbered(ids, "message")
    return ReplayOut.of(messages.replay(parts, ids, wanted.handlers, subject=subject, by=me.caller), dry_run=False)
