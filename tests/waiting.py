"""Wait for a fact, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(check: Callable[[], bool], within: float = 30.0) -> bool:
    """Ask again and again until the answer is yes, or time is up (seconds)."""
    deadline = time.monotonic() + within
    while not (answer := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer
