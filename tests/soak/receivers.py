"""Two webhook receivers behind one port: `/steady` always answers, `/shaky` as the fault of the moment has it."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Mood(StrEnum):
    """How the shaky receiver behaves."""

    WELL = "well"
    FAILS = "fails"  # 503
    HANGS = "hangs"
    RESETS = "resets"
    MIXED = "mixed"  # each of the others in turn, at random


@dataclass
class Receivers:
    """Counts each accepted event, by its id, for each path. A context manager."""

    seed: int
    mood: Mood = Mood.WELL
    accepted: dict[str, Counter[str]] = field(default_factory=lambda: {"/steady": Counter(), "/shaky": Counter()})
    # Under which `webhook-id` each event came: by that, a receiver knows one it has already.
    names: dict[str, dict[str, set[str]]] = field(default_factory=lambda: {"/steady": {}, "/shaky": {}})
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self._random = random.Random(self.seed)  # noqa: S311 - a repeatable choice
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._server is not None
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def accept(self, path: str, event: str, name: str) -> None:
        """One event, under this `webhook-id`."""
        with self.lock:
            self.accepted[path][event] += 1
            self.names[path].setdefault(event, set()).add(name)

    def renamed(self) -> int:
        """How many events came under more than one `webhook-id`."""
        return sum(len(names) > 1 for seen in self.names.values() for names in seen.values())

    def url(self, path: str) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def mood_for(self, path: str) -> Mood:
        """What the next request meets."""
        if path != "/shaky":
            return Mood.WELL
        if self.mood is not Mood.MIXED:
            return self.mood
        with self.lock:
            return self._random.choice([Mood.WELL, Mood.FAILS, Mood.HANGS, Mood.RESETS])

    @contextmanager
    def behaving(self, mood: Mood) -> Iterator[None]:
        """For a while."""
        self.mood = mood
        try:
            yield
        finally:
            self.mood = Mood.WELL


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, receivers: Receivers) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receivers = receivers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Senders that are killed hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        receivers = self.server.receivers
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.close_connection = True
        match receivers.mood_for(self.path):
            case Mood.HANGS:
                receivers.stopping.wait(20)
                return
            case Mood.RESETS:
                return
            case Mood.FAILS:
                self._answer(503)
            case _:
                name = self.headers["webhook-id"]
                # A workflow's step has the event inside.
                receivers.accept(self.path, json.loads(body).get("id", name), name)
                self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: what was accepted is counted."""
