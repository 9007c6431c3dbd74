"""The API against its own description: whatever is sent, no bug answers (U7)."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import Phase, given
from schemathesis import Case

from concord.bootstrap import Concord
from concord.web.api_document import document
from concord.web.app import make_app
from tests.fuzzing import search
from tests.servers.redis import RedisServer
from tests.web_world import token_of, web_concord

USUAL: Final = search(15, phases=(Phase.generate,))
# No bug of the service: a mailbox or a daemon that failed, something that is away.
EXPECTED: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
LEAST: Final = 5


@pytest.fixture(scope="module")
def concord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Concord]:
    folder: Path = tmp_path_factory.mktemp("schema")
    with RedisServer() as redis, web_concord(folder, redis=redis.url) as concord:
        yield concord


def test_no_call_ends_in_a_bug(concord: Concord) -> None:
    """Made-up requests of every kind, for every call, with a token that may do all of it."""
    app = make_app(concord)
    schema = schemathesis.openapi.from_dict(document(app))
    schema.app = app
    headers = token_of(concord, "alice")
    tried, bugs = set(), []
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # a wrong description ends the test here, as it should
        # Signing oneself up, out or over is what this run stands on.
        if operation.path.startswith(("/api/v1/users", "/api/v1/tokens")) and operation.method == "delete":
            continue

        @USUAL
        @given(case=operation.as_strategy())
        def call(case: Case[Any]) -> None:
            answer = case.call(headers=headers, base_url="http://localhost:3000")
            tried.add(f"{case.method} {case.path}")
            assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code in EXPECTED, answer.text

        try:
            call()
        except AssertionError as error:
            bugs.append(f"{operation.method.upper()} {operation.path}: {error}")
    assert bugs == []
    assert len(tried) > LEAST
