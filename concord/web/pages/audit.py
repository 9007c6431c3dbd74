"""The audit: who asked for what; whether it is as it was written; handing it out (U5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import AuditBrokenError, ConcordError, UsageError
from concord.model.audit import AuditEntry, AuditFilter, AuditVerdict
from concord.model.user import Permission
from concord.services import audit as service
from concord.web.actions import NOUNS, WAYS, action, way
from concord.web.downloads import download
from concord.web.error_text import facts_of
from concord.web.forms import Form
from concord.web.problem import status_of
from concord.web.render import query, render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Admin = Annotated[Visitor, Depends(page(Permission.ADMIN))]

PLACE: Final = "/admin/audit"
OUTCOMES: Final = ("done", "refused", "failed")
MEDIA: Final = {service.Form.JSONL: "application/jsonl", service.Form.CSV: "text/csv"}
_FIELDS: Final = ("actor", "action", "subject", "outcome", "via", "since", "until")
_LONGEST: Final = 1000
_ROWS: Final = 50
_ACTION: Final = re.compile(r"[a-z0-9_]{1,40}(\.[a-z0-9_]{1,40})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One page of the list, and whether there are more on either side."""

    entries: list[AuditEntry]
    newer: int | None = None  # the id that they come after
    older: int | None = None


@router.get(PLACE)
def audit(request: Request, _me: Reader, parts: Parts) -> Response:
    """The list, narrowed as asked for."""
    given = {name: request.query_params.get(name, "").strip()[:_LONGEST] for name in (*_FIELDS, "before", "after")}
    return _shown(request, parts, given)


@router.post(f"{PLACE}/verify")
def verify(request: Request, _me: Operator, parts: Parts, form: Form) -> Response:
    """Every row is looked at; the answer stands above the list."""
    noted = form.text("noted")
    try:
        verdict = service.verify(parts, noted=service.read_mark(noted) if noted else None)
    except (AuditBrokenError, UsageError) as error:
        return _shown(request, parts, {}, error=error, noted=noted)
    return _shown(request, parts, {}, verdict=verdict)


@router.post(f"{PLACE}/export")
def export(_me: Admin, parts: Parts, form: Form) -> Response:
    """A file with all rows that the filters leave."""
    narrowed = narrowed_by({name: form.text(name)[:_LONGEST] for name in _FIELDS})
    kind = service.Form.CSV if form.text("format") == service.Form.CSV else service.Form.JSONL
    pieces = service.export(parts, narrowed, form=kind, by=_me.caller)
    return download(pieces, file_name(kind), MEDIA[kind])


def file_name(kind: service.Form) -> str:
    """`concord-audit-2026-11-25.csv`."""
    return f"concord-audit-{datetime.now(UTC):%Y-%m-%d}.{kind}"


def narrowed_by(given: Mapping[str, str]) -> AuditFilter:
    """The filter that the fields say. Raises UsageError."""
    wanted = given.get("action", "")
    if wanted and not _ACTION.fullmatch(wanted):
        raise UsageError("action", value=wanted)
    until = _day(given.get("until", ""))
    return AuditFilter(
        actor=given.get("actor") or None,
        action=wanted or None,
        subject=given.get("subject") or None,
        outcome=_one_of(given.get("outcome", ""), OUTCOMES),
        via=_one_of(given.get("via", ""), tuple(WAYS)),
        since=_day(given.get("since", "")),
        until=until + timedelta(days=1) if until else None,
    )


def _day(text: str) -> datetime | None:
    """Its first moment, in UTC."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError("day", value=text) from None
    # Of the very last day there is no next one.
    return datetime.combine(min(day, date.max - timedelta(days=1)), time(), tzinfo=UTC)


def _one_of(text: str, known: tuple[str, ...]) -> str | None:
    if text and text not in known:
        raise UsageError("choice", value=text)
    return text or None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None  # noqa: PLR2004 - what 63 bits hold


def _rows(parts: Concord, narrowed: AuditFilter, before: int | None, after: int | None) -> Rows:
    """One more than is shown is asked for: it says whether there is another page."""
    if after is not None:
        found = parts.audit.entries(replace(narrowed, after=after, limit=_ROWS + 1))
        if len(found) > _ROWS:
            return Rows(entries=found[1:], newer=found[1].id, older=found[-1].id)
        # Its newest end is reached: then it is the first page, and a full one.
        before = None
    found = parts.audit.entries(replace(narrowed, before=before, limit=_ROWS + 1))
    shown = found[:_ROWS]
    return Rows(
        entries=shown,
        newer=shown[0].id if shown and before is not None else None,
        older=shown[-1].id if len(found) > _ROWS else None,
    )


def _shown(
    request: Request,
    parts: Concord,
    given: Mapping[str, str],
    *,
    verdict: AuditVerdict | None = None,
    error: ConcordError | None = None,
    noted: str = "",
) -> Response:
    narrowed, rows, trouble = AuditFilter(), Rows(entries=[]), error
    try:
        narrowed = narrowed_by(given)
        rows = _rows(parts, narrowed, _number(given.get("before", "")), _number(given.get("after", "")))
    except UsageError as mistake:
        trouble = trouble or mistake
    fields: dict[str, Any] = {name: given.get(name, "") for name in _FIELDS}
    return render(
        request,
        "audit/list.html",
        status=status_of(trouble) if trouble else 200,
        given=fields,
        is_narrowed=any(fields.values()),
        entries=rows.entries,
        newer=f"{PLACE}?{query(fields, after=rows.newer)}" if rows.newer else "",
        older=f"{PLACE}?{query(fields, before=rows.older)}" if rows.older else "",
        nouns=NOUNS,
        ways=WAYS,
        outcomes=OUTCOMES,
        action=action,
        way=way,
        verdict=verdict,
        error=trouble,
        facts=facts_of(trouble) if trouble else {},
        noted=noted,
    )
