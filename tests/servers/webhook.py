"""A real HTTP receiver on loopback: records each request and answers from a script."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Act = Callable[["Conversation"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What an answer may use: the request, the socket, and word of the receiver's end."""

    request: Received
    send: Callable[[bytes], None]
    stopping: threading.Event


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """A complete, ordinary answer."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda talk: talk.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def redirect(location: str, status: int = 307) -> Act:
    return answer(status, Location=location)


def hang(talk: Conversation) -> None:
    """Say nothing until the receiver stops."""
    talk.stopping.wait()


def drip(head: bytes = b"HTTP/1.1 200 OK\r\nX-Drip: ") -> Act:
    """Send an octet every tenth of a second for ever: no single read ever takes long."""

    def act(talk: Conversation) -> None:
        talk.send(head)
        while not talk.stopping.wait(0.1):
            talk.send(b"a")

    return act


def flood(talk: Conversation) -> None:
    """200 and a body without end."""
    talk.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not talk.stopping.is_set():
        talk.send(b"x" * 65536)


def hang_up(talk: Conversation) -> None:
    """Close without a word."""
    del talk


def gibberish(talk: Conversation) -> None:
    talk.send(b"SSH-2.0-OpenSSH_9.2\r\n")


@dataclass
class WebhookReceiver:
    """Answers with the next act of its script, and with 204 once that is at its end."""

    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    _script: list[Act] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def script(self, *acts: Act) -> None:
        """What comes next; forgets what came before."""
        self.received.clear()
        self.connections = 0
        self._script[:] = acts

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def next_act(self) -> Act:
        return self._script.pop(0) if self._script else answer(204)

    @property
    def stopping(self) -> threading.Event:
        return self._stopping

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=15)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: WebhookReceiver) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = receiver

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.receiver.connections += 1
        if self.receiver.tls is None:
            return connection, address
        connection.settimeout(10)
        return self.receiver.tls.wrap_socket(connection, server_side=True), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are what is being tested."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        received = Received(
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
        )
        receiver = self.server.receiver
        receiver.received.append(received)
        receiver.next_act()(Conversation(request=received, send=self._send, stopping=receiver.stopping))
        self.close_connection = True

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the requests are recorded."""
