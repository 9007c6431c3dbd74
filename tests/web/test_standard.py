"""Small promises that deploy/security.md makes and no other test shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from concord.bootstrap import Concord
from concord.model.user import Role
from concord.services.identity import Identity
from concord.web.app import make_app
from tests.web_world import PASSWORD, SHELL, Browser, csrf, every_route, token_of


def test_every_text_says_its_characters(concord: Concord, alice: Browser) -> None:
    """A browser that has to guess may be led to read markup where there is none."""
    paths = {route.path for route in every_route(make_app(concord)) if "GET" in (route.methods or ())}
    plain = sorted(path for path in paths if "{" not in path and not path.endswith(("/live", "/flower")))
    answers = {path: alice.get(path, follow_redirects=False) for path in plain}
    kinds = {path: answer.headers["content-type"] for path, answer in answers.items() if answer.content}

    assert len(kinds) > 40
    for path, kind in kinds.items():
        if kind.startswith("text/"):
            assert kind.endswith("; charset=utf-8"), path
        else:
            assert kind.partition(";")[0] in ("application/json", "application/problem+json", "application/jsonl"), path


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "DEBUG"])
@pytest.mark.parametrize("path", ["/admin", "/admin/login", "/api/v1/tokens", "/healthz", "/static/concord.css"])
def test_methods_that_nothing_here_needs_are_refused(alice: Browser, method: str, path: str) -> None:
    answer = alice.request(method, path, headers={"X-Echo": "shibboleth"}, follow_redirects=False)

    assert answer.status_code in (404, 405)
    assert "shibboleth" not in answer.text


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "session", "concord_session", "authorization"])
def test_secret_in_an_address_opens_nothing(concord: Concord, mallory: Browser, name: str) -> None:
    token = token_of(concord, "alice")["Authorization"].removeprefix("Bearer ")

    assert mallory.get("/api/v1/tokens", params={name: token}).status_code == 401


def test_signing_out_clears_what_the_browser_kept(alice: Browser) -> None:
    answer = alice.post("/admin/logout", data={"csrf": csrf(alice.get("/admin/profile"))}, follow_redirects=False)

    assert answer.headers["clear-site-data"] == '"storage"'
    assert answer.headers["cache-control"] == "no-store"


def test_every_page_behind_the_sign_in_has_the_way_out(concord: Concord, alice: Browser) -> None:
    for path in ("/admin", "/admin/profile", "/admin/messages", "/admin/settings", "/admin/audit", "/admin/nowhere"):
        assert 'action="/admin/logout"' in alice.get(path).text, path


def test_no_answer_lets_another_site_read_it(alice: Browser, mallory: Browser) -> None:
    for browser in (alice, mallory):
        for method in ("GET", "OPTIONS"):
            for path in ("/admin", "/admin/login", "/api/v1/tokens", "/healthz"):
                answer = browser.request(method, path, headers={"Origin": "https://evil.example"})
                assert not [name for name in answer.headers if name.startswith("access-control-")], (method, path)


@pytest.mark.parametrize("password", ["Blanks at both ends ", "x" * 60 + "Ünïcodé 密码 1234", "MixedCaseWordsTogether"])
def test_password_is_compared_as_it_was_typed(concord: Concord, mallory: Browser, password: str) -> None:
    """Not cut, not folded, not trimmed."""
    Identity(concord).set_password("bob", password, by=SHELL)

    for other in (password.strip() + "!", password[:-1], password.swapcase()):
        assert mallory.sign_in("bob", other).status_code == 401
    assert mallory.sign_in("bob", password).url.path == "/admin/profile"


def test_password_is_good_for_years(concord: Concord) -> None:
    """None has to be changed because it is old."""
    later = Identity(concord, clock=lambda: datetime.now(UTC) + timedelta(days=3650))

    assert later.sign_in("bob", PASSWORD, address="192.0.2.1", agent="").session


def test_list_of_users_has_nothing_of_their_passwords(concord: Concord, alice: Browser) -> None:
    answer = alice.get("/api/v1/users")
    kept = concord.users.get("bob").password

    assert answer.status_code == 200
    assert kept not in answer.text
    assert not {"password", "hash"} & set(answer.json()["items"][0])


def test_unknown_fields_change_nothing(concord: Concord, alice: Browser) -> None:
    """Mass assignment."""
    headers = token_of(concord, "alice")
    answer = alice.patch("/api/v1/users/bob", headers=headers, json={"role": "admin", "password_hash": "x", "id": 1})

    assert answer.status_code == 422
    assert concord.users.get("bob").role is Role.OPERATOR


def test_repeated_parameter_is_no_failure(concord: Concord, alice: Browser) -> None:
    headers = token_of(concord, "alice")
    once, twice, crossed = (
        alice.get(f"/api/v1/messages?{query}", headers=headers)
        for query in ("limit=2", "limit=1&limit=2", "limit=x&limit=2")
    )

    assert (once.status_code, twice.status_code) == (200, 200)
    assert crossed.status_code in (200, 422)


_SECRET: Final = re.compile(r'name="(?:\w*password|secret|before|after|again)"')
SCRIPTS: Final = sorted((Path(__file__).parents[2] / "concord/web/static").glob("*.js"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_script_keeps_anything_in_the_browser(script: Path) -> None:
    text = script.read_text(encoding="utf-8")

    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.", text)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_script_takes_names_from_outside(script: Path) -> None:
    """Nothing merges foreign objects, and nothing makes markup or code of text."""
    text = script.read_text(encoding="utf-8")

    assert text.count('"use strict"') == 1
    assert not re.search(
        r"__proto__|Object\.assign|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text
    )


def test_field_of_a_secret_hides_what_is_typed_and_takes_what_a_password_manager_pastes(
    concord: Concord, alice: Browser
) -> None:
    places = ["/admin/profile", "/admin/users", "/admin/users/bob", "/admin/settings/form?preset=gmail"]
    places += [f"/admin/settings/handlers?add={kind}" for kind in ("webhook", "redis-stream")]
    pages = [Browser(concord).get("/admin/login").text, *(alice.get(place).text for place in places)]
    fields = [field for page in pages for field in re.findall(r"<input[^>]*>", page) if _SECRET.search(field)]

    assert len(fields) >= 8
    for field in fields:
        assert 'type="password"' in field
        assert re.search(r'autocomplete="(current|new)-password"', field), field
        assert "onpaste" not in field
    assert [script.name for script in SCRIPTS if "paste" in script.read_text(encoding="utf-8")] == []
