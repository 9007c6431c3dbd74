"""Strangers learn whether all is well, and nothing more (issue 10, finding 18)."""

from __future__ import annotations

import pytest

from concord.bootstrap import Concord
from concord.model.user import Permission
from tests.web_world import Browser, token_of

CHECKS = {"key", "database", "redis", "archive", "mail", "schedule", "workers", "polls"}
WRONG = [
    {},
    {"Authorization": "Bearer concord_wrong"},
    {"Authorization": "Basic YWxpY2U6eA=="},
    {"Cookie": "concord_session=planted"},
    {"X-Forwarded-For": "127.0.0.1"},
]


@pytest.mark.parametrize("headers", WRONG)
def test_stranger_gets_a_short_answer(mallory: Browser, headers: dict[str, str]) -> None:
    answer = mallory.get("/healthz", headers=headers)

    assert answer.json() == {
        "status": "degraded",
        "checks": {name: {"ok": name != "redis"} for name in CHECKS},
    }
    assert answer.status_code == 503


def test_token_without_the_scope_gets_it_too(concord: Concord, mallory: Browser) -> None:
    answer = mallory.get("/healthz", headers=token_of(concord, "bob", Permission.SYNC))

    assert "version" not in answer.json()


def test_reader_gets_the_whole(concord: Concord, mallory: Browser, carol: Browser) -> None:
    by_token = mallory.get("/healthz", headers=token_of(concord, "carol")).json()

    assert by_token["version"]
    assert by_token["checks"]["redis"]["cause"]
    assert set(carol.get("/healthz").json()) == set(by_token)
