"""Wait for a fact, never for a time. And start commands that ^C reaches, however the test run was started."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# Limits are written for a quiet machine; one three times slower, or busy with other things, keeps them too.
PATIENCE: Final = 3.0

# A shell starts background jobs with SIGINT ignored, and every child inherits that. In front of a command it undoes it.
INTERRUPTIBLE: Final = ("env", "--default-signal=INT")


def eventually(check: Callable[[], object], within: float = 30.0) -> bool:
    """Ask until the answer is yes; False after `within` seconds of a quiet machine, thrice that on this one."""
    return _holds(check, within * PATIENCE)


def never(check: Callable[[], object], within: float) -> bool:
    """Whether the answer stays no for exactly so many seconds."""
    return not _holds(check, within)


def _holds(check: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (answer := bool(check())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer
