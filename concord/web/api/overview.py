"""The overview for programs: whether everything works, and what is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from anyio import from_thread
from fastapi import Depends, Request
from pydantic import Field

from concord.model.user import Permission
from concord.web.board import board_of
from concord.web.findings import Finding
from concord.web.plots import compact
from concord.web.render import told, told_with
from concord.web.rest import Model, api_router, needs
from concord.web.visitor import Visitor, api

router = api_router("overview", tag="Numbers")


class MailboxOut(Model):
    """One that cannot be polled."""

    id: int
    name: str
    state: str
    reason: str


class FindingOut(Model):
    """One thing that is wrong."""

    code: str = Field(description="A stable word.")
    serious: bool = Field(description="Whether something does not work; else it needs attention.")
    detail: str = Field(description="In the language of Accept-Language: en or zh-CN.")
    cause: str
    remedy: str
    mailboxes: list[MailboxOut] = Field(description="Whom it concerns: the first few.")

    @classmethod
    def of(cls, finding: Finding) -> FindingOut:
        """In the request's language."""
        return cls(
            code=finding.code,
            serious=finding.serious,
            detail=told_with(finding.sentence, finding.values),
            cause=": ".join(part for part in (told(finding.detail), finding.cause) if part),
            remedy=told_with(finding.remedy, finding.values),
            mailboxes=[MailboxOut.model_validate(one) for one in finding.mailboxes],
        )


class OverviewOut(Model):
    """All of it at one moment."""

    at: datetime
    verdict: Literal["ok", "warn", "bad", "new"] = Field(description="`new`: there is no mailbox yet.")
    findings: list[FindingOut] = Field(description="The serious ones first.")
    figures: dict[str, float | int | None] = Field(description="By the names of /numbers/series, as they are now.")


@router.get("", openapi_extra=needs(Permission.READ))
def read_overview(request: Request, _me: Annotated[Visitor, Depends(api(Permission.READ))]) -> OverviewOut:
    """What an operator must know first. Not older than some seconds."""
    seen = from_thread.run(board_of(request).look)
    return OverviewOut(
        at=seen.sight.at,
        verdict=seen.verdict,
        findings=[FindingOut.of(one) for one in seen.findings],
        figures={name: compact([value])[0] for name, value in sorted(seen.figures.items())},
    )
