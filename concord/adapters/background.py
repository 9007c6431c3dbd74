"""Background work (backfills, reconciliation) takes a quarter of a worker's threads or processes, and at least one.

Whatever waits for a place waits in memory: a worker that dies forgets it, and the account's next poll, or the next look
at what is due, queues it again. Places are locks on a file that the worker's main process made: its children inherit
the file, and the kernel frees the places of a process that dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from celery import signals

SHARE: Final = 4


class Background:
    """The places of one worker, and what waits for one in this process."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._file = os.memfd_create("concord-background")  # open for as long as the worker lives
        self._taken: set[int] = set()
        self._waiting: dict[tuple[str, int], None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def place(self, task: str, account_id: int) -> Iterator[bool]:
        """A place for this work; or none, and the work waits for one."""
        place = self._take()
        if place is None:
            with self._lock:
                self._waiting[task, account_id] = None
            yield False
            return
        try:
            yield True
        finally:
            self._give(place)

    def waiting(self) -> list[tuple[str, int]]:
        """What has waited for a place so far, the longest first; it waits no more."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def _take(self) -> int | None:
        with self._lock:
            for place in range(self._places):
                if place not in self._taken and self._locked(place):
                    self._taken.add(place)
                    return place
        return None

    def _locked(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True

    def _give(self, place: int) -> None:
        with self._lock:
            self._taken.discard(place)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)


_here: list[Background] = []


def background() -> Background:
    """Find the places of the worker that this process belongs to."""
    if not _here:
        _here.append(Background(1))
    return _here[0]


def connect_background() -> None:
    """Give every worker of this process its places, before it has children."""

    def prepare(instance: Any, **_: object) -> None:
        _here[:] = [Background(max(1, (instance.concurrency or 1) // SHARE))]

    uid = "concord.background"
    signals.celeryd_after_setup.disconnect(dispatch_uid=uid)
    signals.celeryd_after_setup.connect(prepare, weak=False, dispatch_uid=uid)
