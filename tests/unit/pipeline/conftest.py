"""The pipeline's tests share a world in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.world import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.engine.dispose()
