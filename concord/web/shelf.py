"""What one page leaves for the next, in this process only: for whoever left it, for a while, and not too much of it.

A restart of the admin service empties it; the page that comes for something then says so.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Thing = TypeVar("Thing")

HALF_AN_HOUR: Final = 1800.0


@dataclass(frozen=True, slots=True)
class _Left(Generic[Thing]):
    owner: int
    until: float
    thing: Thing


class Shelf(Generic[Thing]):
    """Things by a name that nobody can guess. Of each owner the oldest gives way where there are too many."""

    def __init__(
        self, *, most: int, seconds: float = HALF_AN_HOUR, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._things: dict[str, _Left[Thing]] = {}

    def put(self, owner: int, thing: Thing) -> str:
        """The name that it can be had by."""
        name = secrets.token_urlsafe(18)
        with self._lock:
            self._forget_old()
            theirs = [key for key, left in self._things.items() if left.owner == owner]
            for key in theirs[: max(0, len(theirs) + 1 - self._most)]:
                del self._things[key]
            self._things[name] = _Left(owner, self._clock() + self._seconds, thing)
        return name

    def get(self, owner: int, name: str) -> Thing | None:
        """It, if it is still there and theirs."""
        with self._lock:
            self._forget_old()
            left = self._things.get(name)
        return left.thing if left and left.owner == owner else None

    def drop(self, owner: int, name: str) -> None:
        """It has served its purpose."""
        with self._lock:
            left = self._things.get(name)
            if left and left.owner == owner:
                del self._things[name]

    def _forget_old(self) -> None:
        now = self._clock()
        for key in [key for key, left in self._things.items() if left.until <= now]:
            del self._things[key]
