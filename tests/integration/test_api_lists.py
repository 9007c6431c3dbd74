"""The API's lists on both databases: whatever they are narrowed to, and wherever a page begins, they answer (U7)."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from concord.bootstrap import Concord
from concord.web.rest import cursor
from tests.web_world import Browser, token_of, web_concord

STRANGE: Final = ("'", '"; drop table messages', "%", "\\", "\ufffe", "😀", "\x01", "a" * 100, " ", "0", "null")
FILTERS: Final = {
    "/accounts": ("search", "cursor"),
    "/messages": ("q", "account", "folder", "reason", "since", "until"),
    "/events": ("q", "account", "since", "until"),
    "/deliveries": ("handler", "account", "since", "until"),
    "/workflow-runs": ("workflow", "account", "since", "until"),
}
ACCEPTED: Final = (HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY)


@pytest.fixture
def concord(tmp_path: Path, database_url: str) -> Iterator[Concord]:
    with web_concord(tmp_path, database=database_url) as concord:
        yield concord


def test_strange_words_narrow_lists_and_break_none(concord: Concord) -> None:
    program, headers = Browser(concord), token_of(concord, "alice")
    for place, filters in FILTERS.items():
        for name in filters:
            for value in STRANGE:
                answer = program.get(f"/api/v1{place}", params={name: value}, headers=headers)
                assert answer.status_code in ACCEPTED, (place, name, value, answer.text)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "2026-01-01"])
def test_a_page_may_begin_at_any_time(concord: Concord, at: str) -> None:
    program, headers = Browser(concord), token_of(concord, "alice")
    for place in ("/messages", "/deliveries", "/workflow-runs"):
        for known in (0, 2**63 - 1, uuid4()):
            answer = program.get(f"/api/v1{place}", params={"cursor": cursor(at, known)}, headers=headers)
            assert answer.status_code in ACCEPTED, (place, known, answer.text)
    assert (
        program.get("/api/v1/events", params={"cursor": cursor(at, uuid4())}, headers=headers).status_code in ACCEPTED
    )


def test_strange_names_name_nothing(concord: Concord) -> None:
    program, headers = Browser(concord), token_of(concord, "alice")
    for name in ("'", "%25", "%ED%A0%80", "😀", "%F0%28", "a" * 100, "%C2%85"):
        for place in (f"/accounts/{name}", f"/accounts/{name}/folders", f"/sign-ins/{name}", f"/oauth-clients/{name}"):
            answer = program.get(f"/api/v1{place}", headers=headers)
            assert answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY), (place, answer.text)
