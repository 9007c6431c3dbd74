"""The audit on its page and in the API: listed, verified, handed out (U5)."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.types import Message

from concord import auditing
from concord.adapters.sql.engine import transaction
from concord.bootstrap import Concord
from concord.errors import DatabaseDownError
from concord.model.audit import AuditEntry, AuditFilter, AuditMark, AuditVerdict
from concord.model.user import Permission
from concord.web import actions
from concord.web.downloads import download
from tests.web_world import Browser, token_of

LONG_AGO = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
SOURCES = Path(auditing.__file__).parent


@pytest.fixture
def rows(concord: Concord) -> list[AuditEntry]:
    """120 rows of January, two of them told apart; the sign-ins of the test's own people follow."""
    found = [_add(concord, number) for number in range(118)]
    found.append(
        _add(concord, 118, actor="小红", action="rule.add", subject="<b>spam</b>", outcome="refused", via="api")
    )
    found.append(_add(concord, 119, detail="x" * 300, action="account.edit", address="2001:db8::7"))
    return found


def _link(page: Any, direction: str) -> str:
    found = re.search(rf'<a rel="{direction}" href="([^"]+)"', page.text)
    assert found, page.text
    return found[1].replace("&amp;", "&")


def _add(concord: Concord, number: int, **changes: Any) -> AuditEntry:
    fields = {
        "actor": "dave",
        "via": "cli",
        "action": "message.retry",
        "subject": f"message {number}",
        "outcome": "done",
    }
    return concord.audit.add(AuditEntry(at=LONG_AGO + timedelta(minutes=number), **{**fields, **changes}))


def shown(page: Any) -> list[int]:
    """The rows of a page, from top to bottom."""
    return [int(number) for number in re.findall(r'<tr id="row-(\d+)">', page.text)]


def test_everybody_who_signs_in_sees_who_asked_for_what(rows: list[AuditEntry], carol: Browser) -> None:
    page = carol.get("/admin/audit")

    assert page.status_code == 200
    assert "&lt;b&gt;spam&lt;/b&gt;" in page.text
    assert "rule added" in page.text
    assert "小红" in page.text
    assert "2001:db8::7" in page.text
    assert "signed in" in page.text
    assert shown(page) == sorted(shown(page), reverse=True)


def test_strangers_are_shown_the_door(mallory: Browser) -> None:
    assert "/admin/login" in str(mallory.get("/admin/audit").url)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"actor": "小红"}, 1),
        ({"action": "account.edit"}, 1),
        ({"action": "rule"}, 1),
        ({"subject": "message 7"}, 1),
        ({"outcome": "refused", "actor": "小红"}, 1),
        ({"via": "api"}, 1),
        ({"since": "2026-01-31", "until": "2026-01-31", "subject": "message 0"}, 1),
        ({"until": "2026-01-30"}, 0),
        ({"since": "2026-01-31", "until": "2026-01-31"}, 50),
        ({"actor": "nobody"}, 0),
        ({"since": "0001-01-01", "until": "9999-12-31"}, 50),
    ],
    ids=str,
)
def test_filters_leave_what_is_asked_for(
    rows: list[AuditEntry], carol: Browser, fields: dict[str, str], count: int
) -> None:
    page = carol.get("/admin/audit", params=fields)

    assert (page.status_code, len(shown(page))) == (200, count)


def test_pages_lead_to_older_rows_and_back(rows: list[AuditEntry], carol: Browser) -> None:
    first = carol.get("/admin/audit?actor=dave")
    second = carol.get(_link(first, "next"))
    third = carol.get(_link(second, "prev"))
    last = carol.get(_link(second, "next"))

    assert [*shown(first), *shown(second), *shown(last)] == [row.id for row in reversed(rows) if row.actor == "dave"]
    assert shown(third) == shown(first)
    assert 'rel="prev"' not in third.text
    assert 'rel="next"' not in last.text


@pytest.mark.parametrize(
    "wrong", ["action=a%27b", "outcome=well", "via=air", "since=yesterday", "until=2026-02-30", "action=%01"]
)
def test_a_filter_that_cannot_be_is_told(carol: Browser, wrong: str) -> None:
    page = carol.get(f"/admin/audit?{wrong}")

    assert page.status_code == 422
    assert "What to do" in page.text


@pytest.mark.parametrize(
    "odd", ["before=x", "before=99999999999999999999", "after=-1", "before=%D9%A3", "actor=%01%FF"]
)
def test_an_odd_address_is_no_failure(carol: Browser, odd: str) -> None:
    assert carol.get(f"/admin/audit?{odd}").status_code == 200


def test_verifying_shows_the_newest_hash_and_finds_it_again(rows: list[AuditEntry], bob: Browser) -> None:
    page = bob.submit("/admin/audit/verify", noted=f"{rows[50].id}:{rows[50].hash}")

    assert page.status_code == 200
    assert "all as they were written" in page.text
    assert re.search(r'id="newest">\d+:[0-9a-f]{64}<', page.text)


def test_a_forged_row_is_named(concord: Concord, rows: list[AuditEntry], bob: Browser) -> None:
    with transaction(concord.engine) as connection:
        connection.execute(text("UPDATE audit SET actor = 'eve' WHERE subject = 'message 7'"))

    page = bob.submit("/admin/audit/verify")

    assert page.status_code == 422
    assert "was changed, added or taken away" in page.text
    assert f"<dd>{rows[7].id}</dd>" in page.text


def test_what_is_no_row_and_hash_is_told(bob: Browser) -> None:
    page = bob.submit("/admin/audit/verify", noted="7:xyz")

    assert page.status_code == 422
    assert "cannot be a row and its hash" in page.text
    assert 'value="7:xyz"' in page.text


def test_export_takes_the_filters_and_is_written_down(concord: Concord, rows: list[AuditEntry], alice: Browser) -> None:
    answer = alice.submit("/admin/audit/export", actor="小红", format="jsonl")

    assert [json.loads(line)["subject"] for line in answer.text.splitlines()] == ["<b>spam</b>"]
    assert re.fullmatch(r'attachment; filename="concord-audit-[\d-]{10}\.jsonl"', answer.headers["content-disposition"])
    newest = concord.audit.entries(AuditFilter(limit=1))[0]
    assert (newest.actor, newest.via, newest.action, newest.detail) == (
        "alice",
        "admin",
        "audit.export",
        "1 rows as jsonl",
    )
    assert newest.address == "testclient"
    csv = alice.submit("/admin/audit/export", action="rule", format="csv").text
    assert csv.splitlines()[1].startswith(f'"{rows[118].id}"')


def test_only_those_who_may_verify_and_export(concord: Concord, bob: Browser, carol: Browser) -> None:
    assert carol.submit("/admin/audit/verify").status_code == 403
    assert carol.submit("/admin/audit/export").status_code == 403
    assert bob.submit("/admin/audit/export").status_code == 403
    assert "/admin/audit/export" not in bob.get("/admin/audit").text
    assert "/admin/audit/verify" not in carol.get("/admin/audit").text
    assert bob.post("/admin/audit/verify", data={}).status_code == 403, "another site's form has no proof"


def test_the_api_lists_page_by_page(concord: Concord, rows: list[AuditEntry], mallory: Browser) -> None:
    header = token_of(concord, "carol", Permission.READ)
    found: list[int] = []
    mark: str | None = None
    while True:
        query = {"actor": "dave", "limit": "50", "cursor": mark}
        given = {name: value for name, value in query.items() if value}
        page = mallory.get("/api/v1/audit", params=given, headers=header).json()
        found += [one["id"] for one in page["items"]]
        mark = page["next"]
        if not mark:
            break

    assert found == [row.id for row in reversed(rows) if row.actor == "dave"]


def test_the_api_narrows_and_shows_one(concord: Concord, rows: list[AuditEntry], mallory: Browser) -> None:
    header = token_of(concord, "carol", Permission.READ)
    query = {"action": "rule", "since": "2026-01-31T00:00:00Z", "until": "2026-02-01T00:00:00+00:00"}

    (one,) = mallory.get("/api/v1/audit", params=query, headers=header).json()["items"]

    assert (one["actor"], one["hash"], one["at"]) == ("小红", rows[118].hash, "2026-01-31T11:28:00Z")
    assert mallory.get(f"/api/v1/audit/{one['id']}", headers=header).json() == one
    assert mallory.get("/api/v1/audit/999999", headers=header).status_code == 404


@pytest.mark.parametrize(
    "wrong", ["action=A%20b", "outcome=well", "since=2026-01-31", "cursor=x", "limit=0", "via=%01", "format=xml"]
)
def test_the_api_refuses_what_does_not_fit(concord: Concord, mallory: Browser, wrong: str) -> None:
    header = token_of(concord, "alice", Permission.READ, Permission.ADMIN)
    place = "/api/v1/audit/export" if wrong.startswith("format") else "/api/v1/audit"

    answer = mallory.get(f"{place}?{wrong}", headers=header)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_the_api_verifies(concord: Concord, rows: list[AuditEntry], mallory: Browser) -> None:
    header = token_of(concord, "bob", Permission.OPERATE)
    sound = mallory.post("/api/v1/audit/verify", json={}, headers=header).json()
    with transaction(concord.engine) as connection:
        connection.execute(text("DELETE FROM audit WHERE subject = 'message 7'"))
    broken = mallory.post("/api/v1/audit/verify", json={"noted": sound["newest"]}, headers=header).json()

    assert (sound["sound"], sound["breach"]) == (True, None)
    assert (broken["sound"], broken["breach"], broken["row"]) == (False, "untied", rows[8].id)
    assert broken["newest"] is None


def test_the_api_exports_to_admins(concord: Concord, rows: list[AuditEntry], mallory: Browser) -> None:
    header = token_of(concord, "alice", Permission.ADMIN)

    answer = mallory.get("/api/v1/audit/export?action=rule&format=csv", headers=header)
    refused = mallory.get("/api/v1/audit/export", headers=token_of(concord, "bob", Permission.OPERATE))

    assert answer.headers["content-type"].startswith("text/csv")
    assert "小红" in answer.text
    assert concord.audit.entries(AuditFilter(action="audit.export"))[0].via == "api"
    assert refused.status_code == 403


def test_two_do_not_verify_at_once(concord: Concord, bob: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps a core busy."""
    header = token_of(concord, "bob", Permission.OPERATE)
    statuses: list[int] = []

    def verify(*, noted: AuditMark | None = None) -> AuditVerdict:
        statuses.append(Browser(concord).post("/api/v1/audit/verify", json={}, headers=header).status_code)
        return AuditVerdict(rows=0, newest=noted or AuditMark())

    monkeypatch.setattr(concord.audit, "verify", verify)

    assert bob.submit("/admin/audit/verify").status_code == 200
    assert statuses == [409]


def test_every_action_has_words() -> None:
    """What is written into the audit is told in both languages."""
    codes = set()
    for file in SOURCES.rglob("*.py"):
        codes |= set(re.findall(r'audited\(\s*[\w.()]+,\s*[\w.()]+,\s*"([a-z_.]+)"', file.read_text(encoding="utf-8")))
        codes |= set(re.findall(r'"(\w+\.(?:enable|disable|add|edit))"', file.read_text(encoding="utf-8")))

    assert len(codes) > 30
    assert {code for code in codes if actions.action(code) == code} == set()
    assert {code.partition(".")[0] for code in codes} <= set(actions.NOUNS)


def test_what_fails_before_a_download_begins_is_told_as_a_failure() -> None:
    def pieces() -> Generator[str, None, None]:
        if threading.active_count():
            raise DatabaseDownError("refused")
        yield ""

    with pytest.raises(DatabaseDownError):
        download(pieces(), "a.txt", "text/plain")


def test_a_download_that_is_left_ends_what_it_reads() -> None:
    """At once, and not in the thread that serves the others."""
    ended: list[str] = []

    def pieces() -> Generator[str, None, None]:
        try:
            while True:
                yield "x" * 1000
        finally:
            ended.append(threading.current_thread().name)

    async def serve() -> None:
        begun = asyncio.Event()

        async def receive() -> Message:
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                begun.set()

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"spec_version": "2.3"}}
        await download(pieces(), "a.txt", "text/plain")(scope, receive, send)

    asyncio.run(serve())

    assert len(ended) == 1
    assert ended[0] != threading.main_thread().name
