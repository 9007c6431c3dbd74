"""The admin site's story through the API alone: a mailbox added, tested, started, its mail followed to a handler.

Real daemons under supervisord, from the very files that the package installs; real Dovecot and Redis; a real token.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from sqlalchemy import update

from concord.adapters.sql import schema
from concord.adapters.sql.engine import transaction
from concord.adapters.sql.identity_tables import api_tokens
from concord.adapters.supervisord_programs import write_programs
from concord.services.identity import Identity
from tests.acceptance.test_supervisor_stack import SET, installed_supervisord
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.servers.supervisord import Supervisord
from tests.waiting import eventually
from tests.web_world import PASSWORD, PEOPLE, SHELL

SYNC = "/admin/workers/sync-email-tasks"
WRONG = "not-the-passw0rd"


class Program:
    """Speaks the API with one token."""

    def __init__(self, base: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=base, headers=headers, timeout=120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.close()

    def raw(self, verb: str, place: str, **options: Any) -> httpx.Response:
        return self._client.request(verb, place, **options)

    def __call__(self, verb: str, place: str, status: int = 200, **options: Any) -> Any:
        """What is answered: JSON; the status must be that."""
        answer = self.raw(verb, f"/api/v1{place}", **options)
        assert answer.status_code == status, answer.text
        assert WRONG not in answer.text
        return answer.json()

    def move(self, verb: str) -> dict[str, Any]:
        """Start or stop all daemons; the job, once it has ended."""
        job: dict[str, Any] = self("POST", f"/service/{verb}", 202, params={"wait": 1})
        done: list[dict[str, Any]] = [job]

        def ended() -> bool:
            done[0] = self("GET", f"/jobs/{job['id']}")
            return bool(done[0]["state"] != "running")

        assert eventually(ended, within=120), done[0]
        return done[0]


@dataclass(frozen=True)
class Running:
    """The whole set, and its admin service."""

    stack: Stack
    supervisord: Supervisord
    base: str

    def token(self, *scopes: str, days: int = 1) -> str:
        """As an operator at the shell makes one."""
        chosen = [word for scope in scopes for word in ("--scope", scope)]
        return self.stack.cli(
            "token", "create", "story", "--user", "alice", "--days", str(days), *chosen
        ).stdout.splitlines()[0]

    def none_runs(self) -> bool:
        return not any(self.supervisord.pid(name) for name in SET)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="concord-api-") as folder, RedisServer() as redis:
        place, port = Path(folder), free_port()
        run = place / "run"
        settings: dict[str, Any] = {
            "service": {"supervisor": "supervisord", "run_directory": str(run)},
            "flower": {"port": free_port()},
            "admin": {"port": port},
        }
        with Stack(place, redis_url=redis.url, **settings) as stack:
            for made in (run, place / "workers", place / "supervisor.d"):
                made.mkdir()
            write_programs(["poll", "mail", "deliver"], place / "workers.conf")
            schema.upgrade(stack.concord.engine)
            for name, role in PEOPLE.items():
                Identity(stack.concord).add_user(name, role, PASSWORD, by=SHELL)
            base = f"http://localhost:{port}"
            with installed_supervisord(stack, place, run) as supervisord:
                assert eventually(lambda: _answers(base), within=90), stack.log("concord-admin")
                yield Running(stack, supervisord, base)


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz", timeout=10).status_code in (200, 503)
    except httpx.TransportError:
        return False


@pytest.mark.timeout(400)
def test_from_a_token_to_mail_that_is_delivered(running: Running, dovecot: Dovecot) -> None:
    """W3, U1, U2, U3, U7, A4, M4, P18."""
    user = dovecot.add_user("api-story")
    dovecot.deliver(user, mail("Order of yesterday"))
    with Program(running.base, running.token("read", "mail", "operate", "configure", "sync")) as ask:
        assert ask.move("stop")["state"] == "done"
        assert eventually(running.none_runs, within=30)
        assert ask("GET", "/service")["verdict"] == "stopped"
        _add_mailboxes(ask, dovecot, user)
        started = ask.move("start")
        assert (started["state"], started["sync"]["total"]) == ("done", 2), started
        assert ask("GET", "/service")["verdict"] == "working"
        dovecot.deliver(user, mail("Order of today", body="Ten of them\n", attachment=b"\x00\x01\x02"))
        message = _arrives(ask, "Order of today", running.stack)
        _arrives(ask, "Order of yesterday", running.stack)
        _is_delivered(ask, message, running.stack)
        _is_read(ask, message)
        _is_run_again(ask, message)
        _wrong_password_is_told_and_mended(ask, dovecot.passwords[user])
        assert ask.move("stop")["state"] == "done"
        assert eventually(running.none_runs, within=30)
        done = {row["action"] for row in ask("GET", "/audit", params={"via": "api", "limit": 200})["items"]}
    assert {"service.stop", "service.start", "account.test", "account.add", "message.read", "message.replay"} <= done


def _add_mailboxes(ask: Program, dovecot: Dovecot, user: str) -> None:
    """One whose test passes, and one with a wrong password: tested before they are kept, switched off and on."""
    mailbox = {
        "name": "sales",
        "host": "localhost",
        "port": dovecot.imaps_port,
        "ca_pem": Path(dovecot.ca_file).read_text(encoding="ascii"),
        "user": user,
        "start": "all",
    }
    refused = ask("POST", "/accounts/test", json={**mailbox, "password": WRONG})
    last = refused["steps"][-1]
    assert (refused["passed"], last["name"], last["ok"]) == (False, "login", False)
    assert last["cause"]
    assert "app password" in last["remedy"]
    right = {**mailbox, "password": dovecot.passwords[user]}
    assert [(step["name"], step["ok"]) for step in ask("POST", "/accounts/test", json=right)["steps"]] == [
        (name, True) for name in ("dns", "tcp", "tls", "login", "capabilities", "folders")
    ]
    assert ask("GET", "/accounts")["items"] == []
    ask("POST", "/accounts", 201, json=right)
    ask("POST", "/accounts", 201, json={**mailbox, "name": "locked", "password": WRONG})
    assert not ask("POST", "/accounts/sales/disable")["account"]["enabled"]
    assert ask("POST", "/accounts/sales/enable")["account"]["enabled"]
    assert ask("POST", "/accounts/sales/test")["passed"]


def _is_delivered(ask: Program, message: dict[str, Any], stack: Stack) -> None:
    event = ask("GET", f"/events/{message['event_id']}")
    assert (event["account"], event["subject"]) == ("sales", "Order of today")
    assert eventually(
        lambda: [one["state"] for one in ask("GET", f"/events/{event['id']}")["deliveries"]] == ["delivered"],
        within=60,
    ), stack.log("celery-worker")
    (delivery,) = ask("GET", "/deliveries", params={"event": event["id"]})["items"]
    assert (delivery["handler"], delivery["state"]) == ("log", "delivered")
    told = ask("GET", f"/messages/{message['id']}")
    assert {"message.archived", "message.processed", "delivery.delivered"} <= {one["what"] for one in told["steps"]}


def _is_read(ask: Program, message: dict[str, Any]) -> None:
    content = ask("GET", f"/messages/{message['id']}/content")
    assert content["text"] == "Ten of them\n"
    assert ask.raw("GET", content["attachments"][0]["href"]).content == b"\x00\x01\x02"
    assert b"Order of today" in ask.raw("GET", f"/api/v1/messages/{message['id']}/raw").content


def _is_run_again(ask: Program, message: dict[str, Any]) -> None:
    """First what would be done, then it is done."""
    ids = {"ids": [message["id"]]}
    assert ask("POST", "/messages/replay", json={**ids, "dry_run": True})["done"][0]["handlers"] == ["log"]
    ask("POST", "/messages/replay", json=ids)

    def states() -> list[str]:
        return [one["state"] for one in ask("GET", f"/messages/{message['id']}")["deliveries"]]

    assert eventually(lambda: states() == ["delivered", "delivered"], within=60), states()


def _wrong_password_is_told_and_mended(ask: Program, password: str) -> None:
    assert eventually(lambda: ask("GET", "/accounts/locked")["state"] == "auth_failed", within=90)
    locked = ask("GET", "/accounts/locked")
    assert "password" in locked["last_error"]
    assert "app password" in locked["advice"]["remedy"]
    ask("PATCH", "/accounts/locked", json={"password": password})
    ask("POST", "/accounts/locked/poll", 202)
    assert eventually(lambda: ask("GET", "/accounts/locked")["state"] == "ok", within=90)


def _arrives(ask: Program, subject: str, stack: Stack) -> dict[str, Any]:
    """The message of that subject, once it is processed."""
    narrowed = {"q": subject, "account": "sales", "state": "processed"}

    def found() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = ask("GET", "/messages", params=narrowed)["items"]
        return items

    assert eventually(lambda: len(found()) == 1, within=120), stack.log("celery-worker")[-4000:]
    return found()[0]


def test_the_older_programs_call_is_answered_as_documented(running: Running) -> None:
    """U6."""
    with Program(running.base, running.token("sync")) as ask:
        answers = {language: ask.raw("POST", SYNC, headers=said) for language, said in _LANGUAGES.items()}

    for answer in answers.values():
        assert answer.status_code == 200, answer.text
        assert answer.json()["success"] is True
        assert answer.json()["stats"].keys() == {"added", "removed", "updated", "total"}
    assert {language: answer.json()["message"] for language, answer in answers.items()} == {
        "none": "邮件任务同步完成",
        "zh": "邮件任务同步完成",
        "en": "Mail tasks are synchronised",
    }


_LANGUAGES = {"none": {}, "zh": {"Accept-Language": "zh-CN"}, "en": {"Accept-Language": "en"}}


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [("none", 401, ""), ("wrong", 401, "invalid_token"), ("expired", 401, "invalid_token"), ("read", 403, "scope")],
)
def test_without_the_right_token_it_is_a_problem_document(running: Running, kind: str, status: int, error: str) -> None:
    """U6, RFC 9457, RFC 6750."""
    with Program(running.base, _token(running, kind)) as ask:
        answer = ask.raw("POST", SYNC)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert error in answer.headers["www-authenticate"]
    told = answer.json()
    assert (told["status"], bool(told["detail"]), bool(told["remedy"])) == (status, True, True)


def _token(running: Running, kind: str) -> str:
    if kind in ("none", "wrong"):
        return {"none": "", "wrong": "concord_wrong"}[kind]
    token = running.token("read" if kind == "read" else "sync")
    if kind == "expired":
        engine = running.stack.concord.engine
        past = datetime.now(UTC) - timedelta(seconds=1)
        with transaction(engine) as connection:
            connection.execute(update(api_tokens).values(expires_at=past))
    return token
