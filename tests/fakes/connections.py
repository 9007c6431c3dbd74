"""The connection budget in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from datetime import datetime


class MemoryConnections:
    """Slots do not lapse here: `until` is recorded."""

    def __init__(self) -> None:
        self.slots: dict[int, tuple[str, str]] = {}
        self.until: dict[int, datetime] = {}
        self.most = 0  # slots ever in use at one time
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def acquire(self, host: str, login: str, *, per_login: int, per_host: int, until: datetime) -> int | None:
        with self._lock:
            taken = list(self.slots.values())
            if taken.count((host, login)) >= per_login or sum(name == host for name, _ in taken) >= per_host:
                return None
            slot = next(self._numbers)
            self.slots[slot] = (host, login)
            self.until[slot] = until
            self.most = max(self.most, len(self.slots))
            return slot

    def renew(self, slots: Sequence[int], until: datetime) -> None:
        for slot in slots:
            self.until[slot] = until

    def release(self, slot: int) -> None:
        with self._lock:
            del self.slots[slot]  # releasing twice is a mistake that shows here
