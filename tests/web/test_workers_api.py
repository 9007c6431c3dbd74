"""The API of workers and the mail service: all that the pages do, and the call that older programs make (U6, U7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.bootstrap import Concord
from concord.model.account import Account
from concord.model.user import Permission
from tests.fakes.host import ALICE, MemoryHost, write_worker
from tests.web_host import ended, hosted
from tests.web_world import Browser, token_of

SYNC = "/admin/workers/sync-email-tasks"


@pytest.fixture
def host(concord: Concord, tmp_path: Path) -> MemoryHost:
    return hosted(concord, tmp_path)


@pytest.fixture
def program(host: MemoryHost, mallory: Browser) -> Browser:
    """A program: no cookies, no Accept-Language, no wish for HTML."""
    del mallory.headers["Accept-Language"]
    mallory.headers["Accept"] = "*/*"
    return mallory


@pytest.fixture
def mailboxes(concord: Concord) -> None:
    for name in ("sales", "office"):
        concord.accounts.add(Account(name=name, host="imap.example.org", user=name))


def test_the_older_call_is_answered_as_ever(program: Browser, concord: Concord, mailboxes: None) -> None:
    """U6."""
    answer = program.post(SYNC, headers=token_of(concord, "bob", Permission.SYNC))

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "邮件任务同步完成",
        "stats": {"added": 2, "removed": 0, "updated": 0, "total": 2},
    }
    row = concord.audit.entries()[0]
    assert (row.actor, row.via, row.action) == ("bob", "api", "schedule.sync")


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        ("zh-CN", "邮件任务同步完成"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "邮件任务同步完成"),
        ("en", "Mail tasks are synchronised"),
        ("en-GB,zh;q=0.1", "Mail tasks are synchronised"),
        ("", "邮件任务同步完成"),
    ],
)
def test_its_message_follows_the_language(program: Browser, concord: Concord, accept: str, message: str) -> None:
    """U6."""
    headers = {**token_of(concord, "bob", Permission.SYNC), "Accept-Language": accept}

    assert program.post(SYNC, headers=headers).json()["message"] == message


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Basic Ym9iOngK"}, 401)],
)
def test_without_a_good_token_it_is_a_problem_document(program: Browser, headers: dict[str, str], status: int) -> None:
    """U6."""
    answer = program.post(SYNC, headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["status"] == status


def test_a_token_without_the_scope_is_refused(program: Browser, host: MemoryHost, concord: Concord) -> None:
    """U6."""
    answer = program.post(SYNC, headers=token_of(concord, "bob", Permission.READ))

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    assert answer.json()["facts"] == {"scope": "sync"}


def test_redis_away_is_told_as_503(program: Browser, concord: Concord) -> None:
    vars(concord)["schedule"].down = True

    answer = program.post(SYNC, headers=token_of(concord, "bob", Permission.SYNC))

    assert answer.status_code == 503
    assert answer.json()["remedy"]


def test_the_service_is_told_and_moved(program: Browser, concord: Concord) -> None:
    """U7."""
    headers = token_of(concord, "bob")
    assert program.get("/api/v1/service", headers=headers).json()["verdict"] == "stopped"

    begun = program.post("/api/v1/service/start?wait=20", headers=headers)

    assert begun.status_code == 202
    job: dict[str, Any] = program.get(begun.headers["location"], headers=headers).json()
    assert (job["state"], job["daemons"]) == (
        "done",
        ["beat", "worker@poll", "worker@mail", "worker@deliver", "flower"],
    )
    assert job["sync"] == {"added": 1, "removed": 0, "updated": 0, "total": 1}
    rows = program.get("/api/v1/service", headers=headers).json()["daemons"]
    assert {row["name"]: row["activity"] for row in rows}["worker@mail"] == "running"
    assert [one["id"] for one in program.get("/api/v1/jobs", headers=headers).json()["items"]] == [job["id"]]


def test_a_failure_is_in_the_job_with_the_last_lines(program: Browser, host: MemoryHost, concord: Concord) -> None:
    host.supervisor.failing["beat"] = ("no such luck",)
    headers = token_of(concord, "bob")

    job = program.post("/api/v1/service/start?only=beat&wait=20", headers=headers).json()

    assert job["state"] == "failed"
    assert job["problem"]["log"] == ["no such luck"]
    assert job["problem"]["type"] == "urn:concord:problem:daemon_failed"
    assert job["problem"]["situation"] == "daemon_failed.start_failed"


@pytest.mark.parametrize(
    ("method", "place", "body", "scope"),
    [
        ("POST", "/api/v1/service/start", None, Permission.OPERATE),
        ("POST", "/api/v1/service/sync", None, Permission.SYNC),
        ("POST", "/api/v1/workers", {"name": "extra", "document": {"type": "mail"}}, Permission.ADMIN),
        ("PUT", "/api/v1/workers/mail", {"concurrency": 3}, Permission.ADMIN),
        ("DELETE", "/api/v1/workers/mail", None, Permission.ADMIN),
    ],
)
def test_each_call_wants_its_scope(  # noqa: PLR0917 - what a call is
    program: Browser, host: MemoryHost, concord: Concord, method: str, place: str, body: Any, scope: Permission
) -> None:
    """U5."""
    lesser = token_of(concord, "alice", *(set(Permission) - {scope}))

    refused = program.request(method, place, json=body, headers=lesser)
    allowed = program.request(method, place, json=body, headers=token_of(concord, "alice", scope))

    assert refused.status_code == 403
    assert refused.json()["facts"] == {"scope": scope}
    assert allowed.status_code < 300, allowed.text
    if "start" in place:
        ended(program)


def test_a_worker_is_added_changed_and_removed(program: Browser, host: MemoryHost, concord: Concord) -> None:
    """M6."""
    headers = token_of(concord, "alice")

    made = program.post(
        "/api/v1/workers", json={"name": "extra", "document": {"type": "mail", "concurrency": 4}}, headers=headers
    )
    changed = program.put("/api/v1/workers/extra", json={"type": "mail", "concurrency": 5}, headers=headers)
    again = program.put("/api/v1/workers/poll", json={"poll_interval": 30}, headers=headers)
    gone = program.delete("/api/v1/workers/extra", headers=headers)

    assert (made.status_code, made.json()["config"]["concurrency"], made.json()["known_to_manager"]) == (201, 4, True)
    assert (changed.json()["config"]["concurrency"], changed.json()["restart_needed"]) == (5, True)
    assert (again.json()["restart_needed"], again.json()["schedule_follows"]) == (False, True)
    assert gone.status_code == 204
    names = [one["name"] for one in program.get("/api/v1/workers", headers=headers).json()["items"]]
    assert names == ["poll", "mail", "deliver"]


def test_mistakes_of_a_document_are_told_with_their_places(program: Browser, concord: Concord) -> None:
    """M6: by pointer."""
    headers = token_of(concord, "alice")

    shape = program.put("/api/v1/workers/mail", json={"concurrency": 0, "concurency": 4}, headers=headers)
    fit = program.put("/api/v1/workers/mail", json={"poll_interval": 30}, headers=headers)

    assert shape.status_code == fit.status_code == 422
    assert {one["pointer"] for one in shape.json()["errors"]} == {"/body/concurrency", "/body/concurency"}
    assert fit.json()["errors"][0]["pointer"].endswith("/poll_interval")


def test_a_file_that_cannot_be_used_is_told_and_does_not_hide_the_others(
    program: Browser, host: MemoryHost, concord: Concord
) -> None:
    write_worker(host, "extra", "{")

    items = program.get("/api/v1/workers", headers=token_of(concord, "carol")).json()["items"]

    assert [one["name"] for one in items] == ["poll", "mail", "deliver", "extra"]
    assert "not JSON" in items[3]["trouble"]
    assert items[3]["config"] is None


def test_last_lines_and_schema(program: Browser, host: MemoryHost, concord: Concord) -> None:
    host.manager.start("beat", by=ALICE)
    host.supervisor.logs["beat"] = ["one", "two"]
    headers = token_of(concord, "carol")

    assert program.get("/api/v1/service/log?daemon=beat&lines=1", headers=headers).json() == ["two"]
    assert program.get("/api/v1/service/log?daemon=ssh", headers=headers).status_code == 422
    assert "poll_interval" in program.get("/api/v1/workers/schema", headers=headers).json()["properties"]
    assert program.get("/api/v1/jobs/nothing", headers=headers).status_code == 404
    assert program.get("/api/v1/workers/nobody", headers=headers).status_code == 404
