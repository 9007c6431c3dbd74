"""What strangers, and people who may less, try on every route there is: none can be forgotten here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from concord.bootstrap import Concord
from concord.model.user import Permission, Role
from concord.web.app import make_app
from tests.web_world import Browser, csrf, every_route, token_of

# Flower's own pages are asked over the network: tests/integration looks at them. Its bare address only adds a slash.
ELSEWHERE = ("/admin/flower",)
OPEN = {"/healthz", "/", "/static/{name}", "/admin/login", "/admin/preferences"}
SAFE = {"GET", "HEAD"}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every route, as (method, path with something in its places)."""
    for route in every_route(app):
        if route.path not in OPEN and not route.path.startswith(ELSEWHERE):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, re.sub(r"\{[^}]*\}", "1", route.path)


@pytest.fixture
def app(concord: Concord) -> FastAPI:
    return make_app(concord)


def test_stranger_gets_nowhere(app: FastAPI, mallory: Browser) -> None:
    for method, path in routes(app):
        answer = mallory.request(method, path, follow_redirects=False)
        if path.startswith("/api/v1") or path == "/api/openapi.json" or path.endswith("sync-email-tasks"):
            assert answer.status_code == 401, (method, path)
        else:
            sent_away = answer.status_code == 303 and answer.headers["location"].startswith("/admin/login")
            assert sent_away or answer.status_code in (204, 401), (method, path, answer.status_code)


def test_form_without_proof_gets_nowhere(app: FastAPI, alice: Browser) -> None:
    """CSRF, on every form there is."""
    tried = 0
    for method, path in routes(app):
        if method not in SAFE:
            answer = alice.request(method, path, follow_redirects=False)
            assert answer.status_code == 403, (method, path, answer.status_code)
            tried += 1
    assert tried > 10


def test_viewer_changes_nothing_but_what_is_his(app: FastAPI, carol: Browser) -> None:
    """Roles, on every form there is."""
    own = re.compile(r"/admin/(logout|profile/.*|tokens(/1/revoke)?)|/api/v1/tokens(/1)?")
    for method, path in routes(app):
        if method in SAFE or own.fullmatch(path):
            continue
        proof = csrf(carol.get("/admin/profile"))
        answer = carol.request(
            method, path, data={"csrf": proof}, headers={"X-CSRF-Token": proof}, follow_redirects=False
        )
        assert answer.status_code == 403, (method, path, answer.status_code)


def test_every_call_of_the_api_asks_for_the_scope_that_it_says(
    concord: Concord, app: FastAPI, mallory: Browser
) -> None:
    tree = mallory.get("/api/openapi.json", headers=token_of(concord, "alice")).json()
    tokens = {scope: token_of(concord, "alice", *(set(Permission) - {scope})) for scope in Permission}
    for path, verbs in tree["paths"].items():
        for verb, call in verbs.items():
            scope = Permission(call["x-scope"])
            place = re.sub(r"\{[^}]*\}", "1", path)
            answer = mallory.request(verb.upper(), place, headers=tokens[scope])
            assert answer.status_code == 403, (verb, path, scope, answer.status_code)
            assert f'scope="{scope}"' in answer.headers["www-authenticate"]


def test_roles_are_what_is_written_of_them() -> None:
    assert Role.VIEWER.permissions == {Permission.READ}
    assert Role.ADMIN.permissions - Role.OPERATOR.permissions == {Permission.ADMIN}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/..%2f..%2fsettings.py",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/site.css",
        "/static/site.000000000000.css",
        "/static/.made-from",
        "/static/__init__.py",
    ],
)
def test_only_what_the_build_put_there_is_served(mallory: Browser, path: str) -> None:
    """Path traversal."""
    assert mallory.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/admin%0d%0aSet-Cookie:%20a=b", "/admin/login?next=/admin%0d%0aX:y", "/admin/users/%0d%0aX-Evil:%201"]
)
def test_no_header_comes_from_an_address(alice: Browser, path: str) -> None:
    """Header injection."""
    answer = alice.get(path, follow_redirects=False)

    assert not {"x-evil", "x"} & set(answer.headers)
    assert "a=b" not in answer.headers.get("set-cookie", "")
