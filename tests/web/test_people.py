"""Accounts of people: resets, sensitive actions, common passwords, and who was signed in before (issue 10, 12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.identity_tables import sessions
from concord.bootstrap import Concord
from concord.errors import UsageError
from concord.services.identity import Identity, check_password
from tests.web_world import PASSWORD, SHELL, Browser, csrf, token_of

NEXT = "a quite different phrase"
COOKIE = "concord_session"


def forget_proof(concord: Concord, *, minutes: int = 11) -> None:
    """Everybody gave their password so long ago."""
    with transaction(concord.engine) as connection:
        connection.execute(update(sessions).values(proved_at=datetime.now(UTC) - timedelta(minutes=minutes)))


def test_reset_ends_sessions_tokens_and_known_browsers(concord: Concord, alice: Browser, bob: Browser) -> None:
    token = token_of(concord, "bob")
    browser = bob.cookies["concord_browser"]

    answer = alice.submit("/admin/users/bob/password", page="/admin/users/bob", password=NEXT)

    assert "every API token revoked" in answer.text
    assert alice.get("/api/v1/users/me", headers=token).status_code == 401
    assert bob.get("/admin/profile").url.path == "/admin/login"
    assert concord.known_browsers.find(browser, concord.users.get("bob").id) is None


@pytest.mark.parametrize("way", ["api", "shell"])
def test_every_way_of_a_reset_revokes_tokens(concord: Concord, mallory: Browser, way: str) -> None:
    token = token_of(concord, "bob")
    if way == "api":
        mallory.patch("/api/v1/users/bob", headers=token_of(concord, "alice"), json={"password": NEXT})
    else:
        Identity(concord).set_password("bob", NEXT, by=SHELL)

    assert mallory.get("/api/v1/users/me", headers=token).status_code == 401


@pytest.mark.parametrize(("fields", "status"), [({"tokens": "1"}, 401), ({}, 200)])
def test_own_change_revokes_tokens_if_wanted(
    concord: Concord, bob: Browser, fields: dict[str, str], status: int
) -> None:
    token = token_of(concord, "bob")

    bob.submit("/admin/profile/password", before=PASSWORD, after=NEXT, again=NEXT, **fields)

    assert Browser(concord).get("/api/v1/users/me", headers=token).status_code == status


SENSITIVE = [
    ("/admin/tokens", "/admin/tokens", {"name": "x", "scope": "read", "days": "7"}),
    ("/admin/users", "/admin/users", {"name": "eve", "role": "viewer", "password": NEXT}),
    ("/admin/users/bob/password", "/admin/users/bob", {"password": NEXT}),
    ("/admin/users/bob/change", "/admin/users/bob", {"role": "admin", "enabled": "1"}),
    ("/admin/users/bob/remove", "/admin/users/bob", {}),
]


def state(concord: Concord) -> list[object]:
    return [(one.name, one.role, one.password) for one in concord.users.all()] + list(concord.api_tokens.all())


@pytest.mark.parametrize(("place", "page", "fields"), SENSITIVE)
def test_sensitive_form_asks_for_the_password_again(
    concord: Concord, alice: Browser, place: str, page: str, fields: dict[str, str]
) -> None:
    forget_proof(concord)
    before = state(concord)
    assert 'name="own_password"' in alice.get(page).text

    for given in ({}, {"own_password": ""}, {"own_password": "guess"}):
        refused = alice.submit(place, page=page, **fields, **given)
        assert refused.status_code in (401, 403)
        assert state(concord) == before

    assert alice.submit(place, page=page, **fields, own_password=PASSWORD).status_code == 200
    assert state(concord) != before
    assert 'name="own_password"' not in alice.get("/admin/users").text


def test_another_browser_is_signed_out_by_the_person_only(concord: Concord, alice: Browser) -> None:
    """A session that somebody else got hold of does not put its owner out."""
    owner = Browser(concord)
    owner.bring_session("alice")
    forget_proof(concord)
    theirs = max(one.id for one in concord.sessions.of(concord.users.get("alice").id))
    place = f"/admin/profile/sessions/{theirs}/end"
    assert 'name="own_password"' in alice.get("/admin/profile").text

    for given in ({}, {"own_password": "guess"}):
        assert alice.submit(place, **given).status_code in (401, 403)
        assert owner.get("/admin/profile").url.path == "/admin/profile"

    assert alice.submit(place, own_password=PASSWORD).status_code == 200
    assert owner.get("/admin/profile").url.path == "/admin/login"


@pytest.mark.parametrize(
    ("method", "place", "wanted"),
    [
        ("POST", "/api/v1/tokens", {"name": "x", "scopes": ["admin"]}),
        ("POST", "/api/v1/users", {"name": "eve", "role": "admin", "password": NEXT}),
        ("PATCH", "/api/v1/users/bob", {"password": NEXT}),
        ("PATCH", "/api/v1/users/bob", {"role": "admin"}),
        ("DELETE", "/api/v1/users/bob", None),
    ],
)
def test_session_alone_does_nothing_sensitive_by_the_api(
    concord: Concord, alice: Browser, method: str, place: str, wanted: dict[str, object] | None
) -> None:
    """A stolen cookie, with the proof that its pages show."""
    proof = {"X-CSRF-Token": csrf(alice.get("/admin/profile"))}
    forget_proof(concord)
    before = state(concord)

    answer = alice.request(method, place, headers=proof, json=wanted)

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:concord:problem:proof_needed")
    assert state(concord) == before


def test_own_password_cannot_be_guessed_by_a_session(concord: Concord, alice: Browser) -> None:
    forget_proof(concord)
    answers = [alice.submit("/admin/tokens", page="/admin/tokens", name="x", own_password=f"g{n}") for n in range(7)]

    assert [one.status_code for one in answers] == [401] * 5 + [429] * 2


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "Password!2024",
        "1234567890123",
        "qwertyuiopasdf",
        "iloveyouiloveyou",
        "P@$$w0rd12345",
        "***dragon***2019",
        "telechargement",
        "zyxwvutsrqponm",
    ],
)
def test_password_that_everybody_tries_first_is_refused(password: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_password("bob", password)

    assert caught.value.facts["cause"] == "it is one of those that everybody tries first"


@pytest.mark.parametrize("password", ["Concord-Admin-2026!", "concordmailserver", "operator_imap_12"])
def test_password_of_words_that_everybody_connects_with_concord_is_refused(password: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_password("betty", password)

    assert caught.value.facts["cause"] == "it is made of words that everybody connects with Concord"


@pytest.mark.parametrize("password", [PASSWORD, NEXT, "some words together", "Tr0ub4dor&3-x9!k", "gänseblümchenwiese"])
def test_other_long_passwords_are_taken(password: str) -> None:
    check_password("bob", password)


@pytest.mark.parametrize("name", ["bob", "alice"])
def test_signing_in_ends_the_browsers_former_session(concord: Concord, alice: Browser, name: str) -> None:
    thief = Browser(concord, cookies={COOKIE: alice.cookies[COOKIE]})

    alice.sign_in(name)

    assert name in alice.get("/admin/profile").text
    assert thief.get("/admin/profile").url.path == "/admin/login"
