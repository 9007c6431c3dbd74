"""What each command does before anything is imported: it ends well when it is stopped, and collects garbage rarely.

A worker that is stopped while it starts has nothing in hand. Until Celery has its own handlers, SIGQUIT (what stops a
worker softly) would leave a failed unit by its default.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Sequence
from typing import Final

_WORKER: Final = ["worker", "run"]
# Imports make 100,000 objects that stay. By Python's default (700 new objects) the collector visits them so often that
# it takes a fifth of the time in which a command starts.
_NEW_OBJECTS: Final = 50_000


def collect_rarely() -> None:
    """Raise the number of new objects after which Python looks for reference cycles, as `gc.set_threshold` counts."""
    gc.set_threshold(_NEW_OBJECTS)


def end_well_when_stopped(arguments: Sequence[str]) -> None:
    """Let both stop signals end this process with status 0, where these arguments make it a worker."""
    if list(arguments[1:3]) == _WORKER:
        for number in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, _end)


def _end(*_: object) -> None:
    os._exit(0)
