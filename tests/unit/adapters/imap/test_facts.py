"""UIDs and dates that a FETCH names, from servers that write them carelessly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from concord.adapters.imap.facts import read_dates

FIRST = datetime(2026, 7, 1, 2, 44, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        b'1 (UID 7 INTERNALDATE " 1-Jul-2026 02:44:25 +0000")',
        b'1 (INTERNALDATE "01-jul-2026 04:44:25 +0200" UID 7)',
        b'1 (FLAGS (\\Seen UID) uid 7 internaldate "30-Jun-2026 19:44:25 -0700")',
        (b'1 (UID 7 INTERNALDATE "01-Jul-2026 02:44:25 +0000" BODY[] {1}', b"x"),
    ],
)
def test_a_date_is_read_however_it_is_written(line: object) -> None:
    assert read_dates([line, b")", None]) == {7: FIRST}


@pytest.mark.parametrize(
    "date",
    [b'"31-Dec-9999 23:59:59 -0100"', b'"01-Jan-2026 00:00:00 +9999"', b'"32-Jan-2026 00:00:00 +0000"', b'""', b"NIL"],
)
def test_a_mail_with_a_date_of_no_calendar_is_there(date: bytes) -> None:
    """P13: nothing says that it is old."""
    assert read_dates([b"1 (UID 7 INTERNALDATE " + date + b")"]) == {7: None}


@pytest.mark.parametrize("uid", [b"0", b"4294967296", b"99999999999999", b"-1", b"x"])
def test_what_is_no_uid_names_no_mail(uid: bytes) -> None:
    assert read_dates([b"1 (UID " + uid + b")", b"2 (FLAGS ())"]) == {}
