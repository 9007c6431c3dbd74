"""supervisord's XML-RPC over its unix socket, with a time limit on every call."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SOCKET: Final = "supervisor.sock"  # in service.run_directory
SECONDS: Final = 5.0

RPC_ERRORS: Final = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError, xmlrpc.client.ResponseError)
"""What a call raises where no supervisord answers; its own refusals are `xmlrpc.client.Fault`."""


@contextmanager
def supervisord(path: Path, *, seconds: float = SECONDS) -> Iterator[Any]:
    """The `supervisor` namespace of its interface; a call without an answer for so long raises one of RPC_ERRORS."""
    with xmlrpc.client.ServerProxy("http://supervisord", transport=_UnixTransport(path, seconds)) as server:
        yield server.supervisor


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        # The base class keeps it there between two calls, and closes it there.
        connection = self._connection[1] or _UnixConnection(self._path, self._seconds)
        self._connection = host, connection
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("supervisord", timeout=seconds)
        self._path, self._seconds = path, seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(str(self._path))
