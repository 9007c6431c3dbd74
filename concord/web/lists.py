"""Long lists on pages and in the API: what the address narrows them to, and where its page lies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID

from fastapi import Request

from concord.errors import UsageError
from concord.model.listing import Listing, Mark, View
from concord.web.render import query
from concord.web.rest import cursor, place_of

LONGEST: Final = 300
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PER_PAGE: Final = 50
_BIGGEST: Final = 2**63 - 1
_DIGITS: Final = 20  # more are no number of a row, however long it takes to read them
Word = TypeVar("Word", bound=StrEnum)


def given(request: Request, *names: str) -> dict[str, str]:
    """The filters of an address, cut to what a person types."""
    return {name: request.query_params.get(name, "").strip()[:LONGEST] for name in names}


def whole_days(filters: Mapping[str, str]) -> dict[str, str]:
    """The filters of a form, whose last day is meant whole."""
    until = filters.get("until", "")
    if not _DAY.fullmatch(until):
        return dict(filters)
    with suppress(ValueError, OverflowError):
        until = (date.fromisoformat(until) + timedelta(days=1)).isoformat()
    return {**filters, "until": until}


def word(kind: type[Word], text: str | None) -> Word | None:
    """A state that the filter names; None for what is none."""
    return kind(text) if text in set(kind) else None


def moment(text: str | None) -> datetime | None:
    """`2026-01-31`, or with a time of day; UTC where no zone is said. Raises UsageError."""
    if not text:
        return None
    try:
        said = datetime.fromisoformat(text)
        return said.replace(tzinfo=UTC) if said.utcoffset() is None else said.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("day", value=text) from None


def numbers(texts: Sequence[str]) -> list[int]:
    """Ids that a form brought, each once. Raises UsageError."""
    found = []
    for text in texts:
        if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS and 0 < int(text) <= _BIGGEST):
            raise UsageError("row_number", value=text[:40])
        found.append(int(text))
    return list(dict.fromkeys(found))


def view_of(before: str | None, after: str | None, *, limit: int = _PER_PAGE, ids: type[int | UUID] = int) -> View:
    """Which page of a list whose rows have such ids. Raises UsageError for a mark that we did not make."""
    return View(before=_mark(before or None, ids), after=_mark(after or None, ids), limit=limit)


def mark(place: Mark | None) -> str:
    """A place as an address holds it; empty for none."""
    return cursor(place.at.isoformat(), place.id) if place else ""


def turns(request: Request, filters: Mapping[str, str], found: Listing[Any]) -> dict[str, str]:
    """Addresses of the pages beside this one."""
    path = request.url.path
    newer, older = mark(found.newer), mark(found.older)
    return {
        "newer": f"{path}?{query(filters, after=newer)}" if newer else "",
        "older": f"{path}?{query(filters, before=older)}" if older else "",
    }


def _mark(text: str | None, ids: type[int | UUID]) -> Mark | None:
    parts = place_of(text, 2)
    if parts is None:
        return None
    try:
        at = datetime.fromisoformat(parts[0]).astimezone(UTC)
        known = ids(parts[1])
    except (ValueError, OverflowError):
        known, at = -1, datetime.now(UTC)
    if isinstance(known, int) and not 0 <= known <= _BIGGEST:
        raise UsageError("cursor")
    return Mark(at, known)
