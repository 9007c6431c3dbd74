"""A real supervisord of one's own, as an ordinary user, on a configuration given as text."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import psutil

from concord.adapters.supervisord_rpc import RPC_ERRORS, SOCKET, supervisord
from tests.waiting import eventually

HEAD = """\
[supervisord]
nodaemon=true
pidfile={run}/supervisord.pid
logfile={run}/supervisord.log
logfile_maxbytes=0
childlogdir={run}

[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


class Supervisord:
    """Used as a context manager. `run` is where its socket is made: a short path."""

    def __init__(self, config: Path, run: Path, environment: dict[str, str]) -> None:
        self.config, self.run, self._environment = config, run, environment
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self.config)]
        with (self.run / "supervisord.out").open("ab") as out:
            self.process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        if not eventually(self.answers, within=20):
            self.stop()
            raise AssertionError((self.run / "supervisord.out").read_text(encoding="utf-8"))
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self, within: float = 60.0) -> float:
        """Ask it to end, with all its programs; the seconds it took. What is left is killed."""
        assert self.process is not None
        began = time.monotonic()
        family = self.family()
        self.process.terminate()
        try:
            self.process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=15)
        for one in family:
            if one.is_running():
                one.kill()
        return time.monotonic() - began

    def family(self) -> list[psutil.Process]:
        """All that it started, and what those started."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def answers(self) -> bool:
        """Whether its socket is there."""
        try:
            return bool(self.call("getState"))
        except RPC_ERRORS:
            return False

    def call(self, method: str, *arguments: Any) -> Any:
        """One call of its interface."""
        with supervisord(self.run / SOCKET, seconds=70) as server:
            return getattr(server, method)(*arguments)

    def info(self, program: str) -> dict[str, Any]:
        """What it knows of a program, by its bare name."""
        found: list[dict[str, Any]] = [one for one in self.call("getAllProcessInfo") if one["name"] == program]
        return found[0]

    def pid(self, program: str) -> int:
        """Zero where it does not run."""
        return int(self.info(program)["pid"])

    def is_running(self, program: str) -> bool:
        """Whether it has started, and stayed."""
        return bool(self.info(program)["statename"] == "RUNNING")
