"""A Concord with an admin site on a database of its own, and browsers of people who may more or less.

Alice is an admin, Bob an operator, Carol a viewer; Mallory has no account.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx2 import Response
from pydantic import SecretStr

from concord.adapters.passwords import Argon2
from concord.adapters.sql import schema
from concord.bootstrap import Concord
from concord.model.caller import Caller
from concord.model.user import Permission, Role
from concord.services.identity import Identity
from concord.settings import ArchiveSettings, DatabaseSettings, PollSettings, RedisSettings, Settings
from concord.web.app import make_app
from concord.web.pages.door import KNOWN_BROWSER

PASSWORD: Final = "correct-horse-battery"
# As argon2 works, without its cost.
QUICK_PASSWORDS: Final = Argon2(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
PEOPLE: Final = {"alice": Role.ADMIN, "bob": Role.OPERATOR, "carol": Role.VIEWER}
SHELL: Final = Caller(actor="root", via="cli")
SESSION: Final = "concord_session"
_CSRF: Final = re.compile(r'name="csrf" value="([^"]*)"')


class Browser(TestClient):
    """A browser without JavaScript: it follows redirects, keeps cookies, and sends forms with what they hold."""

    def __init__(self, concord: Concord, **options: Any) -> None:
        headers = {"Accept": "text/html", "User-Agent": "Browser", "Accept-Language": "en"}
        self.site = make_app(concord)
        super().__init__(self.site, base_url="http://localhost:3000", headers=headers, **options)
        self.concord = concord

    def sign_in(self, name: str, password: str = PASSWORD, *, place: str = "/admin/profile") -> Response:
        """By the form."""
        page = self.get("/admin/login", params={"next": place})
        fields = {"csrf": csrf(page), "name": name, "password": password, "next": place}
        return self.post("/admin/login", data=fields)

    def bring_session(self, name: str) -> None:
        """Sign in without the form, whose three pages take longer than most tests."""
        signed_in = Identity(self.concord).sign_in(name, PASSWORD, address="testclient", agent="Browser")
        for cookie, value in ((SESSION, signed_in.session), (KNOWN_BROWSER, signed_in.browser)):
            self.cookies.set(cookie, value, domain="localhost.local", path="/")

    def submit(self, place: str, page: str = "/admin/profile", **fields: Any) -> Response:
        """A form of a page: its hidden proof goes along."""
        return self.post(place, data={"csrf": csrf(self.get(page)), **fields})


def csrf(page: Response) -> str:
    """What the page's forms bring along."""
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]


@cache
def database_with_people() -> bytes:
    """SQLite's file with today's schema and everybody signed up; made once, for it takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "concord.db")
        concord = Concord(Settings(database=DatabaseSettings(url=SecretStr(f"sqlite:///{file}"))))
        _sign_up(concord)
        concord.engine.dispose()
        return file.read_bytes()


def _sign_up(concord: Concord) -> None:
    """Everybody, in a database that had nothing."""
    schema.upgrade(concord.engine)
    concord.passwords = QUICK_PASSWORDS
    for name, role in PEOPLE.items():
        Identity(concord).add_user(name, role, PASSWORD, by=SHELL)


@contextmanager
def web_concord(
    folder: Path, *, database: str = "", redis: str = "unix:///nowhere/redis.sock", **more: Any
) -> Iterator[Concord]:
    """Its parts, with everybody signed up. Redis is away unless one is given."""
    settings = Settings(
        poll=PollSettings(authorities=folder / "authorities"),
        database=DatabaseSettings(url=SecretStr(database or f"sqlite:///{folder}/concord.db")),
        redis=RedisSettings(url=SecretStr(redis), connect_timeout=1),
        archive=ArchiveSettings(path=folder / "archive"),
        secret_key=SecretStr(Fernet.generate_key().decode()),
        **more,
    )
    settings.poll.authorities.mkdir(exist_ok=True)
    concord = Concord(settings)
    concord.passwords = QUICK_PASSWORDS
    if database:
        _sign_up(concord)
    else:
        (folder / "concord.db").write_bytes(database_with_people())
    try:
        yield concord
    finally:
        concord.engine.dispose()


def token_of(concord: Concord, name: str, *scopes: Permission) -> dict[str, str]:
    """The header with a fresh token of that user's; without scopes, all that the user may."""
    user = concord.users.get(name)
    token, _ = Identity(concord).create_token(user, "test", scopes or user.role.permissions, days=1, by=SHELL)
    return {"Authorization": f"Bearer {token}"}


def every_route(app: FastAPI) -> Iterator[APIRoute]:
    """Those of all routers that were taken in."""
    for route in app.routes:
        inner = getattr(route, "original_router", None)
        yield from (one for one in (inner.routes if inner else [route]) if isinstance(one, APIRoute))
