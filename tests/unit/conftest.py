"""Unit tests speak to nobody: sockets are closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def closed_sockets() -> Iterator[None]:
    """Unix sockets stay open: event loops and multiprocessing use them within one process."""
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
