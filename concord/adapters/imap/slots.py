"""The budget slots of one process: a thread renews their leases, and learns which are lost or wanted elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import structlog

from concord.errors import InfrastructureError
from concord.ports import Clock, Connections

log = structlog.get_logger(__name__)

# A killed worker's slots are free after so long, or at its next start.
LEASE: Final = timedelta(seconds=60)
RENEW_SECONDS: Final = 5.0


class Slots:
    """Held from `acquire` to `release`."""

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        *,
        idle: Callable[[], Collection[int]],
        give_up: Callable[[Collection[int]], None],
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._idle = idle
        self._give_up = give_up
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._lost: set[int] = set()
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def acquire(self, host: str, login: str, *, per_login: int, per_host: int) -> int | None:
        """Take a slot, and keep its lease alive; None where all are in use."""
        until = self._clock() + LEASE
        slot = self._connections.acquire(host, login, per_login=per_login, per_host=per_host, until=until)
        if slot is not None:
            with self._lock:
                self._mind_forks()
                self._held.add(slot)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="slots", daemon=True)
                    self._thread.start()
        return slot

    def release(self, slot: int) -> None:
        """Give it back. Where the database does not answer, its lease lapses."""
        with self._lock:
            self._held.discard(slot)
            self._lost.discard(slot)
        self._connections.release(slot)

    def rest(self, slot: int) -> None:
        """Its connection is idle from now on; give it up where somebody waits for its place."""
        kept = self._connections.renew([slot], idle=[slot], until=self._clock() + LEASE)
        if slot in kept.wanted or slot not in kept.kept:
            self._give_up([slot])

    def is_lost(self, slot: int) -> bool:
        """Whether its lease lapsed: another may count on it, so its connection must not be kept."""
        with self._lock:
            return slot in self._lost

    def renew(self) -> None:
        """Renew all leases once, and give up what is lost or wanted elsewhere."""
        with self._lock:
            held = set(self._held)
        idle = set(self._idle()) & held
        kept = self._connections.renew(held, idle=idle, until=self._clock() + LEASE)
        lost = held - kept.kept
        with self._lock:
            self._lost |= lost & self._held
        if give_up := idle & (lost | kept.wanted):
            self._give_up(give_up)

    def _run(self) -> None:
        done = threading.Event()
        while not done.wait(RENEW_SECONDS):
            try:
                self.renew()
            except InfrastructureError as error:
                log.debug("slots.not_renewed", error=error)
            with self._lock:
                if not self._held:
                    self._thread = None
                    return

    def _mind_forks(self) -> None:
        """What a parent process holds is the parent's; threads do not survive a fork."""
        if self._pid != os.getpid():
            self._held, self._lost, self._thread, self._pid = set(), set(), None, os.getpid()
