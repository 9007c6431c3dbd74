"""How the admin service listens."""

from __future__ import annotations

import socket

import pytest

from concord.settings import AdminSettings
from concord.web import server
from tests.servers.redis import free_port


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_answer_waits_for_no_acknowledgement(address: str) -> None:
    """Nagle's algorithm and delayed acknowledgements cost 40 ms on every kept connection."""
    with server._listener(AdminSettings(address=address, port=free_port())) as listener:
        with socket.create_connection(listener.getsockname()[:2]):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
