"""Date headers: RFC 5322 in its new and old forms, and the foreign forms that senders really write."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from concord.mime.defect import Defect, Defects

_LONGEST: Final = 128  # what is longer is no date
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_TIME: Final = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,]\d{1,9})?)?"
_ZONE: Final = r"\s*(?P<zone>[+-]\d{1,2}:?\d{2}|[A-Za-z]{1,5})?"
_NAME: Final = r"(?P<month>[A-Za-z]{3})[A-Za-z]{0,6}\.?"
_FORMS: Final = (
    # Mon, 23 Nov 2026 21:38:29 +0100
    re.compile(
        rf"(?:[A-Za-z]{{2,9}}\.?,?\s*)?(?P<day>\d{{1,2}})[\s-]+{_NAME}[\s-]+(?P<year>\d{{2,4}}),?\s+{_TIME}{_ZONE}"
    ),
    # Mon Nov 23 21:38:29 2026
    re.compile(rf"(?:[A-Za-z]{{3,9}},?\s+)?{_NAME}\s+(?P<day>\d{{1,2}}),?\s+{_TIME}{_ZONE}\s+(?P<year>\d{{4}})"),
    # 2026-11-23T21:38:29+01:00
    re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})[T\s]\s*{_TIME}{_ZONE}"),
)
_COMMENT: Final = re.compile(r"\([^()]*\)")
_OFFSET: Final = re.compile(r"([+-])(\d{1,2}):?(\d{2})")
_NAMED: Final = {"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
                 "PST": -8, "PDT": -7}  # fmt: skip # RFC 5322 section 4.3; all others are unknown
_WIDEST: Final = timedelta(hours=15)
_PIVOT: Final = 50
_FULL_YEAR: Final = 4
_LEAP_SECOND: Final = 60


def parse(raw: str | None, defects: Defects) -> datetime | None:
    """Read a Date header as UTC. A missing or unknown zone is taken as UTC, with a defect."""
    if raw is None:
        defects.add(Defect.DATE_MISSING)
        return None
    if len(raw) <= _LONGEST:
        text = _COMMENT.sub(" ", raw).strip()
        for form in _FORMS:
            if match := form.fullmatch(text) or form.match(text):
                return _moment(match, whole=match.end() == len(text), defects=defects)
    defects.add(Defect.DATE_MALFORMED)
    return None


def _moment(match: re.Match[str], *, whole: bool, defects: Defects) -> datetime | None:
    month = match["month"].lower()
    offset = _offset(match["zone"])
    second = int(match["second"] or 0)
    try:
        local = datetime(
            _year(match["year"]),
            int(month) if month.isdigit() else _MONTHS[month[:3]],
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            # A leap second is a legal time that datetime does not know.
            min(second, 59) if second <= _LEAP_SECOND else second,
            tzinfo=timezone(offset or timedelta()),
        )
        moment = local.astimezone(UTC)
    except (ValueError, OverflowError, KeyError):
        defects.add(Defect.DATE_MALFORMED)
        return None
    if offset is None or not whole or len(match["year"]) < _FULL_YEAR:
        defects.add(Defect.DATE_REPAIRED)
    return moment


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == _FULL_YEAR:
        return year
    # RFC 5322 section 4.3: 49 is 2049, 50 is 1950, 126 is 2026.
    return year + (2000 if year < _PIVOT else 1900)


def _offset(zone: str | None) -> timedelta | None:
    if not zone:
        return None
    if match := _OFFSET.fullmatch(zone):
        size = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return None if size > _WIDEST else size if match[1] == "+" else -size
    hours = _NAMED.get(zone.upper())
    return None if hours is None else timedelta(hours=hours)
