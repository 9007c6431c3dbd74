"""Quarantine: why mails were set aside, and another chance for all of a reason (P16)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends
from pydantic import Field

from concord.model.listing import Reason
from concord.model.user import Permission
from concord.services import messages
from concord.web import wanted
from concord.web.api.mail_models import RetriedOut
from concord.web.api.story import Story, WithStory
from concord.web.pages.quarantine import subject_of
from concord.web.rest import Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("quarantine", tag="Mail")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]


class ReasonOut(WithStory):
    """Mails of one cause."""

    code: str
    error: Story = Field(description="Of the newest: what happened, and what to do.")
    amount: int
    newest: datetime
    oldest: datetime
    accounts: list[str]

    @classmethod
    def of(cls, reason: Reason) -> ReasonOut:
        """As the API tells it."""
        told = {name: getattr(reason, name) for name in cls.model_fields}
        return cls(**{**told, "accounts": list(reason.accounts)})


class QuarantineOut(Model):
    """All causes. The mails of one are at `/messages?state=quarantined&reason=CODE`."""

    reasons: list[ReasonOut] = Field(description="The most frequent first.")
    more: bool = Field(description="There are older mails that were not counted.")


class QuarantineRetry(Model):
    """Which are meant; all, where nothing is said."""

    reason: Annotated[str, Field(max_length=100)] | None = Field(default=None, description="A code.")
    account: Annotated[str, Field(max_length=300)] | None = None


@router.get("", openapi_extra=needs(Permission.READ))
def get_quarantine(_me: Reader, parts: Parts) -> QuarantineOut:
    """Why mails were set aside, as far as the newest ten thousand tell."""
    reasons, more = parts.lists.quarantined()
    return QuarantineOut(reasons=[ReasonOut.of(one) for one in reasons], more=more)


@router.post("/retry", openapi_extra=needs(Permission.OPERATE))
def retry_quarantine(chosen: QuarantineRetry, me: Operator, parts: Parts) -> RetriedOut:
    """Process them again, some at a time. Chosen ones alone are for `/messages/retry`."""
    filters = {"reason": chosen.reason, "account": chosen.account}
    done = messages.retry_all(parts, wanted.quarantined(filters), subject=subject_of(filters), by=me.caller)
    return RetriedOut.of(done)
