"""Idempotency keys: who asks is settled first, keys are one token's, secrets are not kept (issue 10, finding 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from concord.adapters.sql.engine import reading
from concord.adapters.sql.identity_tables import idempotency_keys
from concord.bootstrap import Concord
from concord.model.user import Permission, Role
from concord.services.identity import Identity
from concord.web.app import make_app
from concord.web.rest import Model, Route
from tests.web_world import SHELL, Browser, csrf, every_route, token_of

ACCOUNT = {"name": "office", "host": "imap.example.com", "user": "office@example.com", "password": "x" * 12}
TOKEN = {"name": "once", "scopes": ["read"]}
WEBHOOK = {"name": "crm", "kind": "webhook", "options": {"url": "https://crm.example.com/"}, "make_secret": True}


@pytest.fixture(autouse=True)
def tools(concord: Concord) -> None:
    """What handlers reach for, without a network."""
    vars(concord)["tools"] = replace(concord.tools, resolve=lambda _host, _port: ["8.8.8.8"])


def keyed(header: dict[str, str], key: str = "6a1f") -> dict[str, str]:
    return header | {"Idempotency-Key": key}


def revoke(concord: Concord) -> None:
    for token in concord.api_tokens.all():
        Identity(concord).revoke_token(token.id, by=SHELL)


def disable(concord: Concord) -> None:
    Identity(concord).change_user("bob", enabled=False, by=SHELL)


def remove(concord: Concord) -> None:
    Identity(concord).remove_user("bob", by=SHELL)


def demote(concord: Concord) -> None:
    Identity(concord).change_user("bob", role=Role.VIEWER, by=SHELL)


def expire(concord: Concord) -> None:
    with concord.engine.begin() as connection:
        connection.exec_driver_sql("update api_tokens set expires_at = '2020-01-01 00:00:00'")


def test_repeated_call_is_done_once_and_answers_the_same(concord: Concord, mallory: Browser) -> None:
    header = keyed(token_of(concord, "bob"))

    first = mallory.post("/api/v1/accounts", headers=header, json=ACCOUNT)
    again = mallory.post("/api/v1/accounts", headers=header, json=ACCOUNT)
    other = mallory.post("/api/v1/accounts", headers=header, json=ACCOUNT | {"name": "other"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    with reading(concord.engine) as connection:
        kept = connection.execute(select(idempotency_keys.c.body)).scalar_one()
    assert b"office@example.com" not in kept


@pytest.mark.parametrize(
    ("lost", "status"), [(revoke, 401), (disable, 401), (remove, 401), (expire, 401), (demote, 403)]
)
@pytest.mark.parametrize(
    ("place", "wanted"), [("/api/v1/accounts", ACCOUNT), ("/api/v1/handlers", WEBHOOK)], ids=["accounts", "handlers"]
)
def test_kept_answer_is_for_who_still_may_make_the_call(
    concord: Concord, mallory: Browser, place: str, wanted: dict[str, str], lost: Callable[[Concord], None], status: int
) -> None:
    header = keyed(token_of(concord, "bob"))
    assert mallory.post(place, headers=header, json=wanted).status_code == 201

    lost(concord)

    again = mallory.post(place, headers=header, json=wanted)
    assert again.status_code == status
    assert "crm" not in again.text
    assert "office" not in again.text


def test_keys_of_one_token_are_not_anothers(concord: Concord, mallory: Browser) -> None:
    """Of the same user, and of another."""
    first = mallory.post("/api/v1/accounts", headers=keyed(token_of(concord, "bob")), json=ACCOUNT)

    assert first.status_code == 201
    for name in ("bob", "alice"):
        other = mallory.post("/api/v1/accounts", headers=keyed(token_of(concord, name)), json=ACCOUNT)
        assert (other.status_code, "idempotent-replayed" in other.headers) == (409, False)


def test_a_signed_out_browser_gets_no_kept_answer(concord: Concord, bob: Browser) -> None:
    header = {"X-CSRF-Token": csrf(bob.get("/admin/profile")), "Idempotency-Key": "6a1f"}
    cookie = bob.cookies["concord_session"]
    assert bob.post("/api/v1/accounts", headers=header, json=ACCOUNT).status_code == 201

    bob.submit("/admin/logout")

    thief = Browser(concord, cookies={"concord_session": cookie})
    assert thief.post("/api/v1/accounts", headers=header, json=ACCOUNT).status_code == 401


@pytest.mark.parametrize(
    ("place", "wanted", "field"),
    [
        ("/api/v1/tokens", TOKEN, "token"),
        ("/api/v1/handlers", WEBHOOK, "secret"),
        ("/api/v1/handlers/crm/secret", {}, "secret"),
    ],
    ids=["token", "handler", "secret"],
)
def test_answer_with_a_secret_is_not_kept(
    concord: Concord, mallory: Browser, place: str, wanted: dict[str, str], field: str
) -> None:
    if "crm" in place:
        mallory.post("/api/v1/handlers", headers=token_of(concord, "bob"), json=WEBHOOK)
    header = keyed(token_of(concord, "bob"))

    first = mallory.post(place, headers=header, json=wanted)
    again = mallory.post(place, headers=header, json=wanted)

    assert first.is_success
    assert again.status_code == 409
    assert "shows only once" in again.json()["detail"]
    assert first.json()[field] not in again.text
    with reading(concord.engine) as connection:
        assert connection.execute(select(idempotency_keys.c.body)).scalar_one() == b""


def test_handler_without_a_fresh_secret_is_repeated(concord: Concord, mallory: Browser) -> None:
    header = keyed(token_of(concord, "bob"))
    plain = WEBHOOK | {"make_secret": False}

    answers = [mallory.post("/api/v1/handlers", headers=header, json=plain) for _ in range(2)]

    assert [one.status_code for one in answers] == [201, 201]


def calls(app: FastAPI) -> list[Route]:
    return [route for route in every_route(app) if isinstance(route, Route)]


def test_every_answer_with_a_secret_says_so(concord: Concord) -> None:
    """A field of an answer that is named like a secret is one, and is in `shown_once`."""
    names = {"token", "secret", "password", "key", "code", "csrf"}
    found = {}
    for route in calls(make_app(concord)):
        model = route.response_model
        if isinstance(model, type) and issubclass(model, Model):
            secrets = {name for name, field in model.model_fields.items() if name in names and "str" in repr(field)}
            if secrets - {"password"}:
                found[model.__name__] = (secrets, set(model.shown_once))

    assert found
    assert all(secrets == hidden for secrets, hidden in found.values()), found


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":"\\u0000"}', b"{", b'"\xff"', b"[" + b"[]," * 300_000 + b"[]]"]
)
def test_no_call_reads_the_body_of_a_stranger(concord: Concord, mallory: Browser, body: bytes) -> None:
    """What stands in it is told to those only who may make the call."""
    narrow = token_of(concord, "alice", Permission.READ)
    header = {"Content-Type": "application/json"}
    for route in calls(make_app(concord)):
        method = min(route.methods or {"GET"})
        if method != "GET" and "{" not in route.path and route.path != "/api/v1/tokens":
            assert mallory.request(method, route.path, headers=header, content=body).status_code == 401
            assert mallory.request(method, route.path, headers=header | narrow, content=body).status_code == 403
