"""Answers to FETCH that carry no message octets: which UIDs there are, and their INTERNALDATE."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

# RFC 9051 section 9: a UID is a number of 32 bits, and not zero.
_BIGGEST: Final = 2**32 - 1
_UID: Final = re.compile(rb"[( ]UID +(\d{1,10})\b", re.IGNORECASE)
_DATE: Final = re.compile(rb'[( ]INTERNALDATE +"([^"]*)"', re.IGNORECASE)


def read_dates(data: Iterable[object]) -> dict[int, datetime | None]:
    """Each UID that is named, with its INTERNALDATE; None where it has none, or one that no calendar knows."""
    found = {}
    for answer in data:
        line = answer[0] if isinstance(answer, tuple) else answer
        if not isinstance(line, bytes):
            continue
        uid = _UID.search(line)
        if uid and 0 < int(uid[1]) <= _BIGGEST:
            found[int(uid[1])] = _moment(line)
    return found


def _moment(line: bytes) -> datetime | None:
    date = _DATE.search(line)
    if date is None:
        return None
    try:
        moment = datetime.strptime(date[1].decode("ascii").strip(), "%d-%b-%Y %H:%M:%S %z")
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment
