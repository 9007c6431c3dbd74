"""The API against its own description: whatever is sent, no bug answers (U7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis import Case

from concord.bootstrap import Concord
from concord.web.api_document import document
from concord.web.app import make_app
from tests.fuzzing import search
from tests.servers.redis import RedisServer
from tests.web_world import token_of, web_concord

USUAL: Final = search(15, phases=(Phase.generate,))
FEW: Final = search(2, phases=(Phase.generate,))
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
    tried, bugs = _call_everything(concord, token_of(concord, "alice"), USUAL, lambda _operation: ())

    assert bugs == []
    assert tried > LEAST


@pytest.mark.parametrize("who", ["nobody", "carol", "bob"])
def test_no_made_up_call_does_more_than_its_role(concord: Concord, who: str) -> None:
    """Whatever else is wrong with a request, who may not make it learns only that."""
    may = concord.users.get(who).role.permissions if who != "nobody" else frozenset()
    headers = token_of(concord, who) if may else {}

    def refusals(operation: Any) -> tuple[HTTPStatus, ...]:
        if not may:  # and many wrong tokens, which are made up too, have to wait
            return HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS
        return () if operation.definition.raw["x-scope"] in may else (HTTPStatus.FORBIDDEN,)

    tried, bugs = _call_everything(concord, headers, FEW, refusals)

    assert bugs == []
    assert tried > LEAST


def _call_everything(
    concord: Concord, headers: dict[str, str], search: settings, refusals: Callable[[Any], tuple[HTTPStatus, ...]]
) -> tuple[int, list[str]]:
    """How many calls were tried, and what was wrong with their answers."""
    app = make_app(concord)
    schema = schemathesis.openapi.from_dict(document(app))
    schema.app = app
    tried, bugs = set(), []
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # a wrong description ends the test here, as it should
        refused = refusals(operation)
        # Signing oneself up, out or over is what this run stands on.
        is_own = operation.path.startswith(("/api/v1/users", "/api/v1/tokens")) and operation.method == "delete"
        if is_own and not refused:
            continue

        @search
        @given(case=operation.as_strategy())
        def call(case: Case[Any]) -> None:
            answer = case.call(headers=headers, base_url="http://localhost:3000")
            tried.add(f"{case.method} {case.path}")
            if refused:  # noqa: B023 - it is called before the loop goes on
                assert answer.status_code in refused, answer.text  # noqa: B023
            assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code in EXPECTED, answer.text

        try:
            call()
        except AssertionError as error:
            bugs.append(f"{operation.method.upper()} {operation.path}: {error}")
    return len(tried), bugs
