"""The connection budget in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection
from datetime import datetime

from concord.ports import KeptSlots


class MemoryConnections:
    """Slots do not lapse here unless a test takes them away: `until` is recorded."""

    def __init__(self) -> None:
        self.slots: dict[int, tuple[str, str]] = {}
        self.idle: set[int] = set()
        self.wanted: set[int] = set()
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

    def ask(self, host: str, login: str, *, per_login: int) -> bool:
        with self._lock:
            here = [slot for slot in self.idle & self.slots.keys() if self.slots[slot][0] == host]
            ours = [slot for slot in here if self.slots[slot][1] == login]
            is_full = list(self.slots.values()).count((host, login)) >= per_login
            found = (ours if is_full else ours or here)[:1]
            self.wanted.update(found)
            return bool(found)

    def renew(self, slots: Collection[int], *, idle: Collection[int], until: datetime) -> KeptSlots:
        with self._lock:
            kept = frozenset(slots) & self.slots.keys()
            self.until.update(dict.fromkeys(kept, until))
            self.idle = (self.idle - kept) | (set(idle) & kept)
            return KeptSlots(kept=kept, wanted=kept & self.wanted)

    def lose(self) -> None:
        """As if every lease had lapsed, and others counted on them."""
        with self._lock:
            self.slots.clear()

    def release(self, slot: int) -> None:
        with self._lock:
            if slot not in self.until:
                raise KeyError(slot)  # releasing twice is a mistake that shows here
            del self.until[slot]
            self.slots.pop(slot, None)
