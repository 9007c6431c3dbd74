"""The last lines of a unit in the journal. systemd has no D-Bus interface for reading: journalctl is the only way."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog

from concord.adapters.log_lines import readable

log = structlog.get_logger(__name__)

JOURNALCTL: Final = ("journalctl",)
SECONDS: Final = 15.0
# A daemon's last words are on their way to the journal when systemd already tells that it is dead.
_PATIENCE: Final = 1.5
_PAUSE: Final = 0.1


class SystemdJournal:
    """Reads with journalctl; `command` is how it is called."""

    def __init__(self, command: Sequence[str] = JOURNALCTL) -> None:
        self._command = command

    def tail(self, unit: str, lines: int) -> list[str]:
        """The last lines of a unit and of systemd about it, oldest first. One that says why where there are none."""
        return self._read(f"--unit={unit}", lines=lines)

    def last_words(self, unit: str, lines: int, since: float) -> list[str]:
        """What the unit's own processes wrote since then (seconds of the epoch), or else systemd about it.

        Waits a moment for what is not in the journal yet.
        """
        deadline = time.monotonic() + _PATIENCE
        own: list[str] = []
        while time.monotonic() < deadline:
            before, own = own, self._read(f"_SYSTEMD_UNIT={unit}", f"--since=@{since:.3f}", lines=lines)
            if own and own == before:
                return own
            time.sleep(_PAUSE)
        return own or self._read(f"--unit={unit}", f"--since=@{since:.3f}", lines=lines)

    def _read(self, *arguments: str, lines: int) -> list[str]:
        command = [*self._command, "--output=json", "--no-pager", "--all", f"--lines={lines}", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - no shell
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"(the journal cannot be read: {error})"]
        read = [_line(json.loads(entry)) for entry in done.stdout.splitlines() if entry.startswith(b"{")]
        if not read and done.returncode:
            return [_refused(done.stderr.decode(errors="replace"))]
        return read


def _line(entry: dict[str, Any]) -> str:
    message = entry.get("MESSAGE")
    if isinstance(message, list):  # octets that are no text, or the field was there more than once
        message = (
            bytes(message).decode(errors="replace") if all(isinstance(one, int) for one in message) else message[0]
        )
    return readable(str(message or ""))


def _refused(error: str) -> str:
    if "insufficient permissions" in error:
        return "(this user may not read the journal: join the group systemd-journal, or ask as root)"
    last = error.strip().splitlines()[-1:] or ["journalctl failed"]
    return f"(the journal cannot be read: {last[0]})"
