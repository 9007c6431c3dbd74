"""A program's way in: tokens with scopes, shown once (U5, U7)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import api_tokens
from concord.bootstrap import Concord
from concord.errors import UsageError
from concord.model.user import Permission, Role
from concord.services.identity import Identity
from tests.web_world import SHELL, Browser, csrf, token_of

TOKEN = re.compile(r"concord_[\w-]{43}")


def test_token_is_shown_once_and_only_its_digest_is_kept(concord: Concord, bob: Browser) -> None:
    made = bob.submit("/admin/tokens", name="ci", scope=["read", "sync"], days="30")
    token = TOKEN.search(made.text)

    assert token
    assert not TOKEN.search(bob.get("/admin/tokens").text)
    with reading(concord.engine) as connection:
        row = connection.execute(select(api_tokens)).one()
    assert token[0] not in str(row)
    assert sorted(row.scopes) == ["read", "sync"]


def test_token_opens_what_its_scopes_say(concord: Concord, mallory: Browser) -> None:
    header = token_of(concord, "bob", Permission.READ)

    me = mallory.get("/api/v1/users/me", headers=header)
    users = mallory.get("/api/v1/users", headers=header)

    assert me.json() == {"name": "bob", "role": "operator", "permissions": ["read"]}
    assert users.status_code == 403
    assert users.headers["content-type"] == "application/problem+json"
    assert 'error="insufficient_scope", scope="admin"' in users.headers["www-authenticate"]


def test_without_a_token_the_way_to_one_is_told(mallory: Browser) -> None:
    answer = mallory.get("/api/v1/users/me")

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="concord"')
    assert "concord token create" in answer.json()["remedy"]


@pytest.mark.parametrize("header", ["Bearer concord_wrong", "Bearer ", "Basic YTpi", "nonsense", "Bearer \xff"])
def test_wrong_token_is_refused(mallory: Browser, header: str) -> None:
    answer = mallory.get("/api/v1/users/me", headers={b"Authorization": header.encode("latin-1")})

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_expired_and_revoked_tokens_open_nothing(concord: Concord, mallory: Browser) -> None:
    expired, revoked = token_of(concord, "bob"), token_of(concord, "bob")
    with transaction(concord.engine) as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(update(api_tokens).where(api_tokens.c.id == 1).values(expires_at=past))
    Identity(concord).revoke_token(2, by=SHELL)

    assert mallory.get("/api/v1/users/me", headers=expired).status_code == 401
    assert mallory.get("/api/v1/users/me", headers=revoked).status_code == 401


def test_token_loses_what_its_user_loses(concord: Concord, mallory: Browser) -> None:
    header = token_of(concord, "bob")
    Identity(concord).change_user("bob", role=Role.VIEWER, by=SHELL)

    assert mallory.get("/api/v1/users/me", headers=header).json()["permissions"] == ["read"]
    Identity(concord).change_user("bob", enabled=False, by=SHELL)
    assert mallory.get("/api/v1/users/me", headers=header).status_code == 401


def test_no_token_makes_one_that_does_more(concord: Concord, mallory: Browser) -> None:
    header = token_of(concord, "alice", Permission.READ)

    answer = mallory.post("/api/v1/tokens", headers=header, json={"name": "more", "scopes": ["admin"]})

    assert answer.status_code == 422
    assert "cannot do more" in answer.json()["detail"]
    with pytest.raises(UsageError):
        Identity(concord).create_token(concord.users.get("carol"), "x", [Permission.OPERATE], days=1, by=SHELL)


def test_nobody_revokes_anothers_token_but_an_admin(concord: Concord, mallory: Browser) -> None:
    """IDOR."""
    token_of(concord, "alice")
    header = token_of(concord, "bob")

    assert mallory.delete("/api/v1/tokens/1", headers=header).status_code == 404
    assert mallory.delete("/api/v1/tokens/2", headers=token_of(concord, "alice")).status_code == 200
    assert mallory.get("/api/v1/tokens", headers=header).status_code == 401


def test_guessing_tokens_is_slowed_down_and_working_ones_are_not(concord: Concord, mallory: Browser) -> None:
    good = token_of(concord, "bob")
    answers = [mallory.get("/api/v1/users/me", headers={"Authorization": f"Bearer x{n}"}) for n in range(40)]

    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers
    assert mallory.get("/api/v1/users/me", headers=good).status_code == 200


def test_refused_call_may_be_made_again_with_its_key(concord: Concord, mallory: Browser) -> None:
    header = token_of(concord, "bob") | {"Idempotency-Key": "6a20"}

    refused = mallory.post("/api/v1/tokens", headers=header, json={"name": "x", "scopes": ["admin"]})
    mended = mallory.post("/api/v1/tokens", headers=header, json={"name": "x", "scopes": ["read"]})

    assert (refused.status_code, mended.status_code) == (422, 201)


def test_pages_script_may_use_the_api_with_the_sessions_proof_only(alice: Browser) -> None:
    proof = csrf(alice.get("/admin/profile"))
    wanted = {"name": "eve", "role": "viewer", "password": "some words together"}

    bare = alice.post("/api/v1/users", json=wanted)
    proved = alice.post("/api/v1/users", json=wanted, headers={"X-CSRF-Token": proof})

    assert (bare.status_code, proved.status_code) == (403, 201)


def test_password_in_a_wrong_request_is_not_repeated(concord: Concord, mallory: Browser) -> None:
    """A3."""
    wanted = {"name": "eve", "role": "chief", "password": "s3cret-s3cret-s3cret"}

    answer = mallory.post("/api/v1/users", json=wanted, headers=token_of(concord, "alice"))

    assert answer.status_code == 422
    assert "s3cret" not in answer.text


def test_description_names_every_call_with_its_scope(alice: Browser) -> None:
    tree = alice.get("/api/openapi.json").json()

    calls = [call for verbs in tree["paths"].values() for call in verbs.values()]
    assert calls
    assert all(call.get("x-scope") in set(Permission) for call in calls), [
        c["summary"] for c in calls if "x-scope" not in c
    ]
    assert all(call.get("description") for call in calls)
    assert alice.get("/api/docs").status_code == 200
