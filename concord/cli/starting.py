"""A worker that is stopped while it starts has nothing in hand: it ends at once, and well.

Until Celery has its own handlers, SIGQUIT (what stops a worker softly) would leave a failed unit by its default.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Final

_WORKER: Final = ["worker", "run"]


def end_well_when_stopped(arguments: Sequence[str]) -> None:
    """Let both stop signals end this process with status 0, where these arguments make it a worker."""
    if list(arguments[1:3]) == _WORKER:
        for number in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, _end)


def _end(*_: object) -> None:
    os._exit(0)
