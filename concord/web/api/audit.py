"""The audit: who asked for what; whether it is as it was written; handing it out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from pydantic import AwareDatetime, Field
from starlette.responses import StreamingResponse

from concord.errors import NotFoundError
from concord.model.audit import AuditEntry, AuditFilter, Breach
from concord.model.user import Permission
from concord.services import audit as service
from concord.web import rest
from concord.web.api.story import Story
from concord.web.downloads import download
from concord.web.pages.audit import MEDIA, file_name
from concord.web.rest import Cursor, Limit, Model, Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("audit", tag="Audit")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Admin = Annotated[Visitor, Depends(api(Permission.ADMIN))]


class RowOut(Model):
    """One row: what was asked for, and the hash that ties it to the row before."""

    id: int
    at: datetime
    actor: str
    via: str = Field(description="`cli`, `admin` (pages) or `api`.")
    address: str = Field(description="Where the browser or program was; empty at the command line.")
    action: str = Field(description="`noun.verb`, as `account.add`.")
    subject: str
    outcome: str = Field(description="`done`, `refused` or `failed`.")
    detail: Story
    hash: str | None

    @classmethod
    def of(cls, entry: AuditEntry) -> RowOut:
        """As the API tells it."""
        return cls.model_validate(entry)


class VerifyIn(Model):
    """What is to be found again."""

    noted: str | None = Field(
        default=None, max_length=100, description="`ROW:HASH`, `newest` of an earlier answer, noted somewhere else."
    )


class VerifyOut(Model):
    """Whether the audit is as it was written."""

    sound: bool
    rows: int = Field(description="That are as they were written, from the first on.")
    newest: str | None = Field(default=None, description="`ROW:HASH` of the newest; worth noting somewhere else.")
    breach: Breach | None = None
    row: int | None = Field(default=None, description="The first that is wrong or missing.")


def narrowing(  # noqa: PLR0913, PLR0917 - a filter of seven fields, filled in by the framework
    actor: Annotated[str | None, Query(max_length=1000)] = None,
    action: Annotated[
        str | None,
        Query(pattern=r"^[a-z0-9_]{1,40}(\.[a-z0-9_]{1,40})?$", description="`account.add`, or `account` for all."),
    ] = None,
    subject: Annotated[str | None, Query(max_length=1000)] = None,
    outcome: Literal["done", "refused", "failed"] | None = None,
    via: Literal["cli", "admin", "api"] | None = None,
    since: Annotated[AwareDatetime | None, Query(description="From then on.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Before then.")] = None,
) -> AuditFilter:
    """What a list or an export is narrowed to."""
    return AuditFilter(actor=actor, action=action, subject=subject, outcome=outcome, via=via, since=since, until=until)


Narrowed = Annotated[AuditFilter, Depends(narrowing)]


@router.get("", openapi_extra=needs(Permission.READ))
def list_rows(_me: Reader, parts: Parts, narrowed: Narrowed, limit: Limit = 50, cursor: Cursor = None) -> Page[RowOut]:
    """Who asked for what, the newest first."""
    found = parts.audit.entries(replace(narrowed, before=rest.number_of(cursor), limit=limit + 1))
    more = len(found) > limit
    shown = found[:limit]
    return Page(items=[RowOut.of(one) for one in shown], next=rest.cursor(shown[-1].id) if more else None)


@router.post("/verify", openapi_extra=needs(Permission.OPERATE))
def verify(wanted: VerifyIn, _me: Operator, parts: Parts) -> VerifyOut:
    """Look at every row. It takes some seconds for each hundred thousand."""
    found = service.look(parts, noted=service.read_mark(wanted.noted) if wanted.noted else None)
    newest = f"{found.newest.id}:{found.newest.hash}" if found.rows and not found.breach else None
    return VerifyOut(sound=found.breach is None, rows=found.rows, newest=newest, breach=found.breach, row=found.at)


@router.get(
    "/export",
    response_class=StreamingResponse,
    openapi_extra=needs(Permission.ADMIN),
    responses={200: {"content": {media: {} for media in MEDIA.values()}, "description": "The rows, the oldest first."}},
)
def export(
    me: Admin,
    parts: Parts,
    narrowed: Narrowed,
    form: Annotated[service.Form, Query(alias="format")] = service.Form.JSONL,
) -> StreamingResponse:
    """All rows that fit, as JSON Lines (exact) or CSV (for spreadsheets). The export itself is written down too."""
    return download(service.export(parts, narrowed, form=form, by=me.caller), file_name(form), MEDIA[form])


@router.get("/{row}", openapi_extra=needs(Permission.READ), responses=not_found())
def show_row(row: Annotated[int, Path(ge=1, le=2**63 - 1)], _me: Reader, parts: Parts) -> RowOut:
    """One row."""
    found = parts.audit.entries(AuditFilter(after=row - 1, limit=1))
    if not found or found[0].id != row:
        raise NotFoundError("audit_row", row=row)
    return RowOut.of(found[0])
