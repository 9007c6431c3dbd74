"""The service manager's end of sd_notify: a real datagram socket, and what came in on it."""

from __future__ import annotations

import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_CREDENTIALS = struct.Struct("3i")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """One line of one datagram."""

    at: float  # monotonic
    pid: int
    line: str


class NotifySocket:
    """Used as a context manager. `environment` is what a unit with Type=notify and WatchdogSec= is given."""

    def __init__(self, *, watchdog: float | None = None, abstract: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="concord-notify-"))
        path = str(self._folder / "notify")
        self.address = f"@{path}" if abstract else path
        self._watchdog = watchdog
        self._told: list[Told] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @property
    def environment(self) -> Mapping[str, str]:
        watched = {"WATCHDOG_USEC": str(int(self._watchdog * _MICROSECONDS))} if self._watchdog else {}
        return {"NOTIFY_SOCKET": self.address, **watched}

    def __enter__(self) -> Self:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def lines(self) -> list[str]:
        """Everything said so far, in order."""
        return [told.line for told in list(self._told)]

    @property
    def speakers(self) -> set[int]:
        """The process ids that spoke, as the kernel vouches."""
        return {told.pid for told in list(self._told)}

    @property
    def status(self) -> str:
        """The last STATUS."""
        return next((line[7:] for line in reversed(self.lines) if line.startswith("STATUS=")), "")

    def count(self, line: str) -> int:
        """How often exactly this line was said."""
        return self.lines.count(line)

    def silent_for(self) -> float:
        """Seconds since the last ping, READY or the beginning."""
        beats = [told.at for told in list(self._told) if told.line in {"WATCHDOG=1", "READY=1"}]
        return time.monotonic() - beats[-1] if beats else 0.0

    def _listen(self) -> None:
        with self._socket:
            while message := self._receive():
                now = time.monotonic()
                text, pid = message
                self._told.extend(Told(now, pid, line) for line in text.splitlines())

    def _receive(self) -> tuple[str, int] | None:
        data, ancillary, *_ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not data:
            return None
        pid = next((_CREDENTIALS.unpack(raw)[0] for _, kind, raw in ancillary if kind == socket.SCM_CREDENTIALS), 0)
        return data.decode(), pid
