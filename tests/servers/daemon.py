"""A Celery daemon of the probe app, as a process of its own, with its log in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.servers.redis import RedisServer

ROOT = Path(__file__).parents[2]


class Daemon:
    """`python -m celery -A tests.servers.celery_probe ARGUMENTS`, in a process group of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        server: RedisServer,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        url: str | None = None,
    ) -> None:
        self.arguments = [sys.executable, "-m", "celery", "-A", "tests.servers.celery_probe", *arguments]
        self.log_path = folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
        # Read from a file, as in life: a password belongs in no environment and no argument.
        credentials = folder / "credentials"
        credentials.mkdir(exist_ok=True)
        (credentials / "redis__url").write_text(url or server.url, encoding="utf-8")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "CONCORD_CREDENTIALS": str(credentials),
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it said so far."""
        return self.log_path.read_text(encoding="utf-8")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self.arguments, env=self._environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process is None:
            return
        try:
            if self.alive:
                os.killpg(self.process.pid, signal.SIGKILL)
        finally:
            self.process.wait(timeout=30)
