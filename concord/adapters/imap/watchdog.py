"""Cuts connections that outlive their poll: a server that sends a byte now and then defeats every socket time-out."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time


class Guard:
    """Watches one connection at a time, from the first byte of the handshake on, until `end`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self.expired = False
        self.ended = False

    def watch(self, line: socket.socket) -> None:
        """Guard this connection from now on, instead of any before."""
        # A duplicate of our own stays valid while TLS wraps the socket, and cannot hit a descriptor used anew.
        copy = socket.socket(fileno=os.dup(line.fileno()))
        with self._lock:
            former, self._line = self._line, copy
        if former:
            former.close()
        if self.expired:
            self.cut()

    def cut(self) -> None:
        """Time is up: whoever waits on the connection wakes and finds it closed."""
        with self._lock:
            if self.ended:
                return
            self.expired = True
            if self._line:
                with contextlib.suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """The poll is over."""
        with self._lock:
            self.ended = True
            if self._line:
                self._line.close()
                self._line = None


class Watchdog:
    """One thread for all guards of a process; started when first needed, and anew after a fork."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Guard]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def guard(self, seconds: float) -> Guard:
        """A guard that cuts in so many seconds."""
        guard = Guard()
        with self._wake:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), guard))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="imap-watchdog", daemon=True)
                self._thread.start()
            if self._due[0][2] is guard:
                self._wake.notify()
        return guard

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._due and self._due[0][2].ended:
                    heapq.heappop(self._due)
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._wake.wait(wait)
                    continue
                guard = heapq.heappop(self._due)[2]
            guard.cut()
