"""Who gets in, how long, and what no stranger can make a signed-in browser do (U5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import sessions, users
from concord.adapters.sql.web_sessions import SqlSessions, digest
from concord.bootstrap import Concord
from concord.errors import ConflictError, SignInRefusedError, TooManyAttemptsError, UsageError
from concord.model.user import Role
from concord.services.identity import Identity, check_password
from concord.web.pages.door import own_place
from concord.wording import english
from tests.web_world import PASSWORD, SHELL, Browser, csrf

COOKIE = "concord_session"


def test_password_opens_the_door(mallory: Browser) -> None:
    answer = mallory.sign_in("alice")

    assert answer.url.path == "/admin/profile"
    assert "alice" in answer.text


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("", ""), ("alice", "")])
def test_wrong_name_and_wrong_password_are_told_alike(mallory: Browser, name: str, password: str) -> None:
    answer = mallory.sign_in(name, password)

    assert answer.status_code == 401
    assert "The name or the password is wrong" in answer.text
    assert COOKIE not in mallory.cookies


def test_guesser_is_slowed_down_and_the_owner_elsewhere_is_not(concord: Concord, mallory: Browser) -> None:
    for _ in range(6):
        mallory.sign_in("bob", "guess")
    slowed = mallory.sign_in("bob", PASSWORD)

    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) >= 1
    assert Identity(concord).sign_in("bob", PASSWORD, address="192.0.2.1", agent="").session


def test_many_guesses_at_once_do_not_come_through(concord: Concord) -> None:
    """Each is counted before it is looked at."""
    for _ in range(5):
        with pytest.raises(SignInRefusedError):
            Identity(concord).sign_in("bob", "guess", address="192.0.2.9", agent="")
    with pytest.raises((SignInRefusedError, TooManyAttemptsError)):
        Identity(concord).sign_in("bob", "guess", address="192.0.2.9", agent="")
    with pytest.raises(TooManyAttemptsError):
        Identity(concord).sign_in("bob", PASSWORD, address="192.0.2.9", agent="")


def test_session_is_another_after_signing_in(mallory: Browser) -> None:
    """Session fixation: what a stranger planted is worth nothing."""
    mallory.cookies.set(COOKIE, "planted-by-a-stranger", domain="localhost.local")
    mallory.sign_in("alice")

    assert Browser(mallory.concord, cookies={COOKIE: "planted-by-a-stranger"}).get("/admin/profile").url.path == (
        "/admin/login"
    )


def test_database_holds_no_value_that_opens_anything(concord: Concord, alice: Browser) -> None:
    value = alice.cookies[COOKIE]
    with reading(concord.engine) as connection:
        row = connection.execute(select(sessions)).one()
        kept = connection.execute(select(users.c.password)).scalars().all()

    assert value.encode() not in bytes(row.digest)
    assert row.digest == digest(value)
    assert all(one.startswith("$argon2id$") for one in kept)


def test_signing_out_ends_the_session_for_whoever_copied_the_cookie(concord: Concord, alice: Browser) -> None:
    thief = Browser(concord, cookies={COOKIE: alice.cookies[COOKIE]})
    assert thief.get("/admin/profile").url.path == "/admin/profile"

    alice.submit("/admin/logout")

    assert thief.get("/admin/profile").url.path == "/admin/login"


def test_new_password_ends_every_other_session(concord: Concord, alice: Browser) -> None:
    other = Browser(concord)
    other.sign_in("alice")

    fields = {"before": PASSWORD, "after": "a quite different phrase", "again": "a quite different phrase"}
    told = alice.submit("/admin/profile/password", **fields)

    assert "The password is changed" in told.text
    assert other.get("/admin/profile").url.path == "/admin/login"
    assert alice.get("/admin/profile").url.path == "/admin/profile"


def test_idle_and_old_sessions_end(concord: Concord) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [moment]
    kept = SqlSessions(concord.engine, lambda: clock[0], idle=timedelta(minutes=60), absolute=timedelta(minutes=150))
    idle = kept.begin(concord.users.get("alice").id, address="", agent="")
    clock[0] += timedelta(minutes=61)

    assert kept.find(idle) is None

    busy = kept.begin(concord.users.get("alice").id, address="", agent="")
    for _ in range(5):
        clock[0] += timedelta(minutes=29)
        found = kept.find(busy)
        assert found
        busy = found.renewed or busy
    clock[0] += timedelta(minutes=29)
    assert kept.find(busy) is None


def test_value_changes_under_way_and_the_former_one_lives_a_minute_longer(concord: Concord) -> None:
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    kept = SqlSessions(concord.engine, lambda: clock[0], idle=timedelta(hours=1), absolute=timedelta(hours=12))
    first = kept.begin(concord.users.get("alice").id, address="", agent="")
    clock[0] += timedelta(minutes=16)
    found = kept.find(first)
    assert found
    second = found.renewed

    assert second
    assert second != first
    assert kept.find(first)
    assert kept.find(second)
    clock[0] += timedelta(seconds=61)
    assert kept.find(first) is None
    assert kept.find(second)


def test_disabled_user_is_out_at_once(concord: Concord, bob: Browser) -> None:
    Identity(concord).change_user("bob", enabled=False, by=SHELL)

    assert bob.get("/admin/profile").url.path == "/admin/login"
    assert Browser(concord).sign_in("bob").status_code == 401


def test_somebody_who_may_manage_users_is_always_left(concord: Concord) -> None:
    identity = Identity(concord)

    for attempt in (
        lambda: identity.change_user("alice", enabled=False, by=SHELL),
        lambda: identity.change_user("alice", role=Role.VIEWER, by=SHELL),
        lambda: identity.remove_user("alice", by=SHELL),
    ):
        with pytest.raises(ConflictError):
            attempt()
    assert concord.users.get("alice").role is Role.ADMIN


@pytest.mark.parametrize("password", ["tooshort12", "alicealice-is-here", "aaaaaaaaaaaaaaaa", "x" * 2000])
def test_weak_password_is_refused_with_the_reason(password: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_password("alice", password)

    assert password not in english.explain(caught.value)


FORMS = [
    "/admin/logout",
    "/admin/profile/password",
    "/admin/profile/sessions/1/end",
    "/admin/tokens",
    "/admin/tokens/1/revoke",
    "/admin/users",
    "/admin/users/bob/remove",
]


@pytest.mark.parametrize("place", FORMS)
def test_form_without_the_sessions_proof_does_nothing(alice: Browser, place: str) -> None:
    """CSRF."""
    for fields in ({}, {"csrf": ""}, {"csrf": "0" * 43}):
        assert alice.post(place, data=fields).status_code == 403
    assert alice.concord.users.find("bob")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_form_from_another_site_does_nothing_even_with_the_proof(alice: Browser, headers: dict[str, str]) -> None:
    proof = csrf(alice.get("/admin/profile"))

    answer = alice.post("/admin/users/bob/remove", data={"csrf": proof}, headers=headers)

    assert answer.status_code == 403
    assert alice.concord.users.find("bob")


def test_one_users_proof_is_of_no_use_in_anothers_session(alice: Browser, bob: Browser) -> None:
    proof = csrf(bob.get("/admin/profile"))

    assert alice.post("/admin/users/bob/remove", data={"csrf": proof}).status_code == 403


def test_nobody_can_be_signed_in_by_another_site(mallory: Browser) -> None:
    """Login CSRF."""
    answer = mallory.post("/admin/login", data={"name": "alice", "password": PASSWORD, "csrf": "0" * 64})

    assert answer.status_code == 403
    assert COOKIE not in mallory.cookies


@pytest.mark.parametrize(
    "asked",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/admin//evil.example",
        "/adminevil",
        "/admin/../..//evil.example",
        "javascript:alert(1)",
        "/admin\r\nSet-Cookie: x=y",
        "/admin/\x00",
        "",
    ],
)
def test_after_signing_in_one_stays_here(asked: str) -> None:
    """Open redirects and header injection."""
    place = own_place(asked)

    assert place.startswith("/admin")
    assert "evil" not in place or place.count("//") == 0
    assert "\r" not in place


@pytest.mark.parametrize("place", ["/admin", "/admin/messages?state=dead&q=%E4%B8%AD", "/api/docs"])
def test_after_signing_in_one_goes_where_one_wanted(place: str) -> None:
    assert own_place(place) == place


@pytest.mark.parametrize("place", ["/admin/users", "/admin/users/alice"])
def test_operators_and_viewers_see_no_users(bob: Browser, carol: Browser, place: str) -> None:
    for browser in (bob, carol):
        answer = browser.get(place)
        assert answer.status_code == 403
        assert "Your role does not allow this" in answer.text


def test_nobody_ends_anothers_session(concord: Concord, alice: Browser, bob: Browser) -> None:
    """IDOR."""
    (theirs,) = concord.sessions.of(concord.users.get("alice").id)

    bob.submit(f"/admin/profile/sessions/{theirs.id}/end")

    assert alice.get("/admin/profile").url.path == "/admin/profile"


def test_cookie_says_that_no_script_and_no_other_site_gets_it(concord: Concord) -> None:
    browser = Browser(concord)
    page = browser.get("/admin/login")
    answer = browser.post(
        "/admin/login",
        data={"csrf": csrf(page), "name": "alice", "password": PASSWORD, "next": "/admin"},
        follow_redirects=False,
    )
    line = next(one for one in answer.headers.get_list("set-cookie") if one.startswith(COOKIE))

    assert "HttpOnly" in line
    assert "SameSite=lax" in line
    assert "Max-Age" not in line


def test_behind_tls_cookies_are_for_tls_only(concord: Concord) -> None:
    browser = Browser(concord)
    browser.base_url = "https://localhost:3000"

    answer = browser.get("/admin/login")

    assert "__Host-concord_door" in answer.headers["set-cookie"]
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_first_visitor_is_told_how_to_make_a_user(concord: Concord, mallory: Browser) -> None:
    with transaction(concord.engine) as connection:
        connection.execute(users.delete())

    assert "concord user add" in mallory.get("/admin/login").text


def test_language_and_colours_stay_as_chosen(mallory: Browser) -> None:
    mallory.post("/admin/preferences", data={"language": "zh-CN", "theme": "dark", "back": "/admin/login"})

    page = mallory.get("/admin/login", headers={"Accept-Language": "en"})
    assert '<html lang="zh-CN" data-theme="dark">' in page.text


def test_better_parameters_are_taken_up_at_the_next_sign_in(concord: Concord, mallory: Browser) -> None:
    weak = "$argon2id$v=19$m=8,t=1,p=1$"
    with transaction(concord.engine) as connection:
        kept = connection.execute(select(users.c.password).where(users.c.name == "alice")).scalar_one()
        assert kept.startswith(weak)
        connection.execute(update(users).values(password_at=datetime.now(UTC)))
    concord.passwords = type(concord.passwords)()

    mallory.sign_in("alice")

    assert not concord.users.get("alice").password.startswith(weak)


@pytest.mark.parametrize("place", ["/admin/login", "/admin/preferences"])
def test_a_strangers_form_is_small(mallory: Browser, place: str) -> None:
    """A million empty fields would cost 100 MB (issue 10, finding 1)."""
    header = {"Content-Type": "application/x-www-form-urlencoded"}

    assert mallory.post(place, content=b"a&" * 500_000, headers=header).status_code == 413
