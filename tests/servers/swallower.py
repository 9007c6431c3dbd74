"""A TCP proxy that can go deaf as a firewall that forgot its connections: they stay open, and nothing comes through.

New connections work all the while.
"""

from __future__ import annotations

import selectors
import socket
import threading
from typing import Self

_CHUNK = 65_536


class SwallowingProxy:
    """In front of a server on 127.0.0.1. Used as a context manager."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._swallowed: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """As `redis.url` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def swallow(self) -> int:
        """From now on nothing passes on the connections that are open; how many those are."""
        with self._lock:
            pairs = list(self._peers)
            for each in pairs:
                self._selector.unregister(each)
            self._swallowed += pairs
            self._peers.clear()
        return len(pairs) // 2

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the thread

    def _serve(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(timeout=0.2):
                with self._lock:
                    self._turn(key.fileobj)
        for each in (self._listener, *self._peers, *self._swallowed):
            each.close()
        self._selector.close()

    def _turn(self, ready: object) -> None:
        if ready is self._listener:
            self._accept()
        elif isinstance(ready, socket.socket) and ready in self._peers:
            self._forward(ready)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        sink = self._peers[source]
        try:
            data = source.recv(_CHUNK)
            sink.sendall(data)
        except OSError:
            data = b""
        if data:
            return
        for each in (source, sink):
            self._selector.unregister(each)
            del self._peers[each]
            each.close()
