"""Numbers in addresses that are none, on every page and call there is: refused, and no bug."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.bootstrap import Concord
from concord.errors import QueueDownError
from concord.web.app import make_app
from tests.web.test_attacks import ELSEWHERE
from tests.web_world import Browser, every_route, web_concord


@pytest.fixture
def concord(tmp_path: Path) -> Iterator[Concord]:
    with web_concord(tmp_path) as concord:
        yield concord


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "99999999999999999999", "%00", "１", "1;drop", "' or 1=1"])
def test_number_that_is_none_is_no_bug(concord: Concord, number: str) -> None:
    alice = Browser(concord)
    alice.sign_in("alice")
    for route in every_route(make_app(concord)):
        if "{" in route.path and not route.path.startswith(ELSEWHERE) and "GET" in (route.methods or ()):
            answer = alice.get(re.sub(r"\{[^}]*\}", number, route.path), follow_redirects=False)
            assert answer.status_code < 500 or answer.status_code == 503, (route.path, number)


def test_redis_on_a_unix_socket_that_is_not_there_is_away_and_no_bug(concord: Concord) -> None:
    with pytest.raises(QueueDownError):
        concord.pulse.workers()
