"""What the admin service answers, and to whom (D1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from concord.adapters.sql import schema
from concord.adapters.vault import KeySet, new_key
from concord.bootstrap import Concord, now
from concord.model.key_ring import KeyReport
from concord.model.user import Permission, Role
from concord.refusals import Refusals
from concord.settings import AdminSettings, ArchiveSettings, DatabaseSettings, Settings
from concord.web.app import make_app
from concord.web.guard import Guard, names
from tests.factories import sealed_in
from tests.fakes.audit import MemoryAudit
from tests.sql_world import account


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path}/concord.db")),
        archive=ArchiveSettings(path=tmp_path / "archive"),
        secret_key=SecretStr(Fernet.generate_key().decode()),
        admin=AdminSettings(hosts=("concord.example.com",)),
    )
    concord = Concord(settings)
    schema.upgrade(concord.engine)
    return make_app(concord)


def token(concord: Concord) -> dict[str, str]:
    """The header of a program that may read."""
    user = concord.users.add("monitor", Role.VIEWER, "")
    value, _ = concord.api_tokens.add("monitor", user, [Permission.READ], expires_at=None)
    return {"Authorization": f"Bearer {value}"}


async def ask(app: FastAPI, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3000") as client:
        return await client.request(method, path, headers=headers)


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(("accept", "lang", "words"), [("", "en", "Sign in"), ("zh-CN", "zh-CN", "登录")])
async def test_page_speaks_the_readers_language(app: FastAPI, accept: str, lang: str, words: str) -> None:
    answer = await ask(app, "/admin/login", **{"Accept-Language": accept})

    assert answer.status_code == 200
    assert f'<html lang="{lang}">' in answer.text
    assert words in answer.text
    assert "Accept-Language" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/admin/profile", "/api/docs"])
async def test_stranger_is_sent_to_the_door_and_back_to_where_he_wanted(app: FastAPI, path: str) -> None:
    """U5."""
    answer = await ask(app, path, Accept="text/html")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/login?next={path}")


async def test_unknown_address_is_a_problem_in_json(app: FastAPI) -> None:
    """RFC 9457."""
    answer = await ask(app, "/docs")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at this address.",
    }


async def test_wrong_method_names_the_right_ones(app: FastAPI) -> None:
    answer = await ask(app, "/healthz", method="POST")

    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert "GET" in answer.headers["allow"]


async def test_bug_is_told_without_its_words(app: FastAPI) -> None:
    """A3."""

    @app.get("/stumble")
    async def stumble() -> None:
        raise ValueError("s3cret")

    answer = await ask(app, "/stumble")

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "s3cret" not in answer.text


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc", "/api/openapi.json"])
async def test_nothing_describes_the_service_to_strangers(app: FastAPI, path: str) -> None:
    assert (await ask(app, path)).status_code in (401, 404)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/admin/login"])
async def test_every_answer_keeps_the_browser_on_a_short_lead(app: FastAPI, path: str) -> None:
    answer = await ask(app, path)

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:3000", 303),
        ("LOCALHOST", 303),
        ("127.0.0.1:3000", 303),
        ("[::1]:3000", 303),
        ("concord.example.com", 303),
        ("evil.example:3000", 400),
        ("localhost.evil.example", 400),
        ("evil.example@localhost", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
async def test_only_names_that_are_ours_get_an_answer(app: FastAPI, host: str, status: int) -> None:
    """DNS rebinding: a foreign page's name may lead to our address."""
    answer = await ask(app, "/", Host=host)

    assert answer.status_code == status
    assert status == 303 or answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("length", ["2097153", "99999999999999999999", "-1", "1e3"])
async def test_request_over_the_limit_is_refused_before_it_is_read(app: FastAPI, length: str) -> None:
    answer = await ask(app, "/admin/login", method="POST", **{"Content-Length": length})

    assert answer.status_code == 413
    assert "admin.max_body_bytes" in answer.text


async def test_body_without_a_length_is_counted_as_it_comes() -> None:
    async def reader(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    transport = httpx.ASGITransport(Guard(reader, frozenset({"localhost"}), 1_000_000, Refusals(MemoryAudit(), now)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3000") as client:
        answer = await client.post("/", content=endless())

    assert answer.status_code == 413
    assert "admin.max_body_bytes" in answer.text


async def test_form_that_cannot_be_read_is_told_so(app: FastAPI) -> None:
    answer = await ask(app, "/admin/login", method="POST", **{"Content-Type": "multipart/form-data; boundary=x"})

    assert answer.status_code in (400, 403)
    assert answer.json()["detail"]


def test_public_address_is_a_name_of_ours() -> None:
    assert "mail.example.com" in names(AdminSettings(base_url="https://mail.example.com:8443"))


def test_address_that_is_every_address_is_no_name() -> None:
    assert names(AdminSettings(address="0.0.0.0")) == names(AdminSettings())  # noqa: S104 - only named here
    assert "192.0.2.7" in names(AdminSettings(address="192.0.2.7"))


async def test_health_names_a_daemon_that_has_another_key(app: FastAPI) -> None:
    """Issue 9, B: a daemon on another host waits for ever, and the page says why."""
    concord: Concord = app.state.concord
    report = KeyReport(
        daemon="poll@there",
        own=frozenset(),
        opens=frozenset(),
        trouble="The key does not open this database's secrets",
        seen_at=now(),
    )
    concord.key_ring.report(report)

    key = (await ask(app, "/healthz", **token(concord))).json()["checks"]["key"]

    assert (key["ok"], key["detail"]) == (False, "Daemons cannot open stored secrets")
    assert "poll@there" in key["cause"]
    assert "concord secrets status" in key["remedy"]


async def test_health_names_a_secret_that_no_key_opens(app: FastAPI) -> None:
    """Issue 9, B: its account waits, its state blames nothing, and yet it does not stand still in silence."""
    concord: Concord = app.state.concord
    concord.accounts.add(sealed_in(KeySet.of([new_key()]), account("sales"), "hunter2"))

    key = (await ask(app, "/healthz", **token(concord))).json()["checks"]["key"]

    assert (key["ok"], key["detail"]) == (False, "The key does not open every stored secret")
    assert "account 'sales'" in key["cause"]
