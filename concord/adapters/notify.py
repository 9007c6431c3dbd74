"""What a daemon tells its service manager: sd_notify(3), in the few lines that Concord needs of it.

Without $NOTIFY_SOCKET all of this does nothing. Only the process that was started by the manager speaks: a forked child
that pinged in its parent's place would hide that the parent is stuck.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_MICROSECONDS: Final = 1_000_000
_SPEAKER: Final = os.getpid()
# A full socket means a manager that is busy: the next ping will do.
_PATIENCE: Final = 1.0
# A status that counts something changes at every turn of a loop; nobody reads that fast.
_STATUS_SECONDS: Final = 2.0


def ready(status: str = "") -> None:
    """The daemon is up; `systemctl start` may return."""
    _tell("READY=1", *_status(status))


def stopping(status: str = "") -> None:
    """It is going down by itself, or as told; the watchdog rests from here on."""
    _tell("STOPPING=1", *_status(status))


def status(text: str) -> None:
    """One line for `systemctl status`."""
    _tell(*_status(text))


def alive(text: str = "") -> None:
    """It works: feed the watchdog."""
    _tell("WATCHDOG=1", *_status(text))


def watchdog_seconds() -> float | None:
    """After how many seconds of silence the manager restarts us; None where nobody watches."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or _SOCKET not in os.environ:
        return None
    if watched and watched != str(os.getpid()):
        return None
    return int(microseconds) / _MICROSECONDS


class Pinger:
    """Feeds the watchdog from a loop that turns often, and no oftener than it needs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        limit = watchdog_seconds()
        self._every = limit / 4 if limit else float("inf")
        self._clock = clock
        self._last = float("-inf")
        self._said = ""

    def ping(self, text: str = "") -> None:
        """As often as the loop likes; a status is told soon after it changed."""
        now = self._clock()
        if now - self._last < (self._every if text == self._said else min(self._every, _STATUS_SECONDS)):
            return
        self._last, self._said = now, text
        alive(text)


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []


def _tell(*lines: str) -> None:
    address = os.environ.get(_SOCKET, "")
    if not address or not lines or os.getpid() != _SPEAKER:
        return
    # A manager that went away is no reason to fail: whoever works goes on working.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_PATIENCE)
        sender.sendto("\n".join(lines).encode(), f"\0{address[1:]}" if address.startswith("@") else address)
