"""A glance at the first octets of a mail: enough to queue it rightly and to list it (P10)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from concord.mime import peek, read
from concord.model.account import Priority
from concord.model.message import Peek

MAIL = (
    b"From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.org>\r\n"
    b"To: Bob <bob@example.com>, team: eve@example.com;\r\n"
    b"Cc: zoe@example.com\r\n"
    b"Subject: =?gbk?B?xOO6ww==?=\r\n"
    b"Date: Mon, 23 Nov 2026 21:38:29 +0100\r\n"
    b"Message-ID: <m1@example.org>\r\n"
    b"Importance: high\r\n"
    b"\r\n"
    b"Subject: not this one\r\n"
)


def test_the_header_facts_are_those_of_the_whole_mail() -> None:
    found = peek(MAIL)

    assert found == Peek(
        message_id="<m1@example.org>",
        subject="你好",
        sender="joerg@example.org",
        recipients=("bob@example.com", "eve@example.com"),
        cc=("zoe@example.com",),
        date=datetime(2026, 11, 23, 20, 38, 29, tzinfo=UTC),
        priority=Priority.HIGH,
        headers=read(MAIL).headers,
    )


def test_a_header_cut_in_the_middle_is_left_out() -> None:
    cut = MAIL[: MAIL.index(b"joerg") + 3]

    assert peek(cut).sender is None
    assert peek(MAIL[: MAIL.index(b"\r\nMessage-ID") - 3]).date is None


def test_sender_stands_in_for_a_missing_author() -> None:
    assert peek(b"Sender: list@example.org\r\n\r\n").sender == "list@example.org"


def test_nothing_at_all_has_no_facts() -> None:
    assert peek(b"") == Peek()


@pytest.mark.parametrize(
    ("line", "priority"),
    [
        (b"Importance: High", Priority.HIGH),
        (b"X-Priority: 1 (Highest)", Priority.HIGH),
        (b"X-Priority: 2", Priority.HIGH),
        (b"Priority: urgent", Priority.HIGH),
        (b"X-MSMail-Priority: High", Priority.HIGH),
        (b"Importance: low", Priority.LOW),
        (b"X-Priority: 4", Priority.LOW),
        (b"X-Priority: 5 (Lowest)", Priority.LOW),
        (b"Priority: non-urgent", Priority.LOW),
        (b"X-MSMail-Priority: Low", Priority.LOW),
        (b"Importance: normal", None),
        (b"X-Priority: 3", None),
        (b"X-Priority: 10", None),
        (b"X-Priority:", None),
    ],
)
def test_the_mails_own_urgency_is_read(line: bytes, priority: Priority | None) -> None:
    assert peek(line + b"\r\n\r\n").priority == priority
    assert read(line + b"\r\n\r\n").priority == priority
