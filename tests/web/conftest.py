"""The admin site in this process on a database of its own, and people's browsers; nobody else is spoken to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.bootstrap import Concord
from tests.unit.conftest import closed_sockets
from tests.web_world import Browser, web_concord

__all__ = ["closed_sockets"]


@pytest.fixture
def concord(tmp_path: Path) -> Iterator[Concord]:
    with web_concord(tmp_path) as concord:
        yield concord


@pytest.fixture
def mallory(concord: Concord) -> Browser:
    """Nobody we know."""
    return Browser(concord)


def _signed_in(concord: Concord, name: str) -> Browser:
    browser = Browser(concord)
    browser.bring_session(name)
    return browser


@pytest.fixture
def alice(concord: Concord) -> Browser:
    """An admin's browser."""
    return _signed_in(concord, "alice")


@pytest.fixture
def bob(concord: Concord) -> Browser:
    """An operator's."""
    return _signed_in(concord, "bob")


@pytest.fixture
def carol(concord: Concord) -> Browser:
    """A viewer's."""
    return _signed_in(concord, "carol")
