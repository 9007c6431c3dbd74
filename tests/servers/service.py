"""`concord … run` as a service manager starts it: its own process, a notify socket, its log in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.servers.manager import NotifySocket
from tests.waiting import eventually

WATCHDOG_SECONDS = 4.0


class Service:
    """Used as a context manager. `settings` is a TOML text; `credentials` are files, as in life.

    The process runs the Python code `before` ahead of the command.
    """

    def __init__(
        self,
        command: str,
        folder: Path,
        *,
        settings: str = "",
        credentials: Mapping[str, str] | None = None,
        before: str = "",
    ) -> None:
        program = ["-c", f"{before}\nimport concord.__main__"] if before else ["-m", "concord"]
        self._arguments = [sys.executable, *program, command, "run"]
        self._log = folder / f"{command}.log"
        self.manager = NotifySocket(watchdog=WATCHDOG_SECONDS)
        (folder / "concord.toml").write_text(settings, encoding="utf-8")
        (folder / "credentials").mkdir(mode=0o700, exist_ok=True)
        for name, secret in (credentials or {}).items():
            (folder / "credentials" / name).write_text(secret, encoding="utf-8")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CONCORD_CONFIG": str(folder / "concord.toml"),
            "CONCORD_CREDENTIALS": str(folder / "credentials"),
        }
        self.process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self.manager.__enter__()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments, env={**self._environment, **self.manager.environment}, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.kill()
        self.process.wait(timeout=30)
        self.manager.__exit__()

    def is_ready(self) -> bool:
        """Whether it says READY within half a minute."""
        return eventually(lambda: "READY=1" in self.manager.lines or self.process.poll() is not None) and (
            "READY=1" in self.manager.lines
        )

    def keeps_pinging(self) -> bool:
        """Whether three more pings come, none of them later than the watchdog allows."""
        before = self.manager.count("WATCHDOG=1")
        return eventually(
            lambda: self.manager.count("WATCHDOG=1") >= before + 3 or self.manager.silent_for() > WATCHDOG_SECONDS
        ) and (self.manager.count("WATCHDOG=1") >= before + 3)
