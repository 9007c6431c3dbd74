"""Accounts as people write them: what can be read is read, and every mistake is told with its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from concord.errors import UsageError
from concord.model.account import Account, AfterAction, AfterKind, StartKind, StartPoint, Tls
from concord.pipeline.account_check import account_mistakes, check_account
from concord.pipeline.account_document import account_from_document, account_to_document, read_account

TODAY = date(2026, 11, 25)
GOOD = {"name": "bob", "host": "mail.example.org", "user": "bob@example.org"}


def account(**changes: Any) -> Account:
    return replace(account_from_document(GOOD), **changes)


def test_the_written_form_and_the_account_are_the_same() -> None:
    written = account_to_document(account(after=AfterAction(kind=AfterKind.MOVE, folder="Done"), interval=30))

    assert account_to_document(account_from_document(written)) == written


def test_all_that_cannot_be_read_is_told_at_once() -> None:
    read, mistakes = read_account({**GOOD, "port": "many", "tls": "ssl", "color": "red", "interval": "30"})

    assert [mistake.path for mistake in mistakes] == [("port",), ("tls",), ("color",)]
    assert (read.name, read.interval) == ("bob", 30)


def test_what_has_no_default_must_be_said_unless_it_is_there_already() -> None:
    _, mistakes = read_account({"host": ""})
    assert [mistake.path for mistake in mistakes] == [("name",), ("host",), ("user",)]

    _, mistakes = read_account({"port": 143}, base=account())
    assert mistakes == []


@pytest.mark.parametrize(
    ("said", "base", "port"),
    [
        ({"tls": "starttls"}, None, 143),
        ({"tls": "starttls", "port": 1143}, None, 1143),
        ({"tls": "starttls"}, account(), 143),
        ({"tls": "starttls"}, account(port=1993), 1993),
        ({"host": "other.example.org"}, account(tls=Tls.STARTTLS, port=143), 143),
    ],
)
def test_the_port_follows_the_kind_of_connection(said: dict[str, Any], base: Account | None, port: int) -> None:
    read, _ = read_account(said if base else GOOD | said, base=base)

    assert read.port == port


def test_all_that_cannot_be_meant_is_told_at_once() -> None:
    wrong = account(
        name="-x",
        host="https://mail.example.org",
        port=0,
        user="",
        ca_file="/no/such/file",
        folders=("Done", "Done"),
        after=AfterAction(kind=AfterKind.MOVE, folder="Done"),
        start=StartPoint(kind=StartKind.SINCE, since=date(2030, 1, 1)),
        interval=0,
    )

    places = [mistake.path for mistake in account_mistakes(wrong, today=TODAY)]

    assert places == [
        *[("name",), ("host",), ("port",), ("user",), ("ca_file",)],
        *[("folders",), ("after",), ("start",), ("interval",)],
    ]
    with pytest.raises(UsageError, match="cannot have this name"):
        check_account(wrong, today=TODAY)


def test_a_good_account_has_no_mistakes() -> None:
    assert list(account_mistakes(account(), today=TODAY)) == []
