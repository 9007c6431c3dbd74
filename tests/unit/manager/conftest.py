"""A host in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.host import MemoryHost


@pytest.fixture
def host(tmp_path: Path) -> MemoryHost:
    return MemoryHost(tmp_path)
