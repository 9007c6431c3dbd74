"""How many calls one process makes to one host at a time, so that a slow receiver does not take all its threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from concord.errors import HandlerError

WAIT_SECONDS = 2


class HostSlots:
    """Counts calls under way, by host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def hold(self, host: str, limit: int) -> Iterator[None]:
        """Take a place. HandlerError with `busy` where all are taken: no receiver is to blame, so no attempt counts."""
        self._take(host, limit)
        try:
            yield
        finally:
            self._give_back(host)

    def _take(self, host: str, limit: int) -> None:
        with self._lock:
            if self._taken[host] >= limit:
                raise HandlerError("slots_taken", host=host, limit=limit, busy=True, retry_after=WAIT_SECONDS)
            self._taken[host] += 1

    def _give_back(self, host: str) -> None:
        with self._lock:
            self._taken[host] -= 1
            if not self._taken[host]:
                del self._taken[host]  # hosts come and go; the table must not grow for ever
