"""Who has which mail open: what a page loads of it afterwards is part of one reading, and written down once."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from fastapi import Request

from concord.model.caller import Caller

_SECONDS: Final = 1800.0
_MOST: Final = 10_000


class Openings:
    """Those of this process, for half an hour."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._opened: dict[tuple[str, int], float] = {}
        self._lock = Lock()

    def note(self, by: Caller, message_id: int) -> None:
        """The reading was written down just now."""
        now = self._seconds()
        with self._lock:
            self._opened.pop((by.actor, message_id), None)
            self._opened[by.actor, message_id] = now
            # In order of time: the oldest go first.
            while len(self._opened) > _MOST:
                del self._opened[next(iter(self._opened))]

    def has(self, by: Caller, message_id: int) -> bool:
        """Whether that person's reading of it was written down a short while ago."""
        with self._lock:
            return self._seconds() - self._opened.get((by.actor, message_id), float("-inf")) < _SECONDS


def openings_of(request: Request) -> Openings:
    """Those of the application that answers."""
    state = request.app.state
    if not hasattr(state, "openings"):
        state.openings = Openings()
    openings: Openings = state.openings
    return openings
