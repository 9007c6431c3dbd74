"""What systemd's watchdog does, for supervisord, which has none: kills a daemon that no longer says that it works.

Daemons say so over sd_notify(3); supervisord tells which program speaks, and starts it anew once it is dead. While
supervisord does not answer, nobody is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, Final

import structlog

from concord.adapters.notify_listener import NotifyListener
from concord.adapters.supervisord_rpc import RPC_ERRORS, SOCKET, supervisord
from concord.adapters.supervisord_silence import Limits, Program, Silence, Silent

log = structlog.get_logger(__name__)

NOTIFY_SOCKET: Final = "notify.sock"  # in service.run_directory
# The daemons that speak; the watchdog itself and a migration do not.
WATCHED: Final = ("concord-beat", "concord-flower", "concord-admin", "concord-worker-")
# SIGABRT first: the daemon writes its threads' stacks into its log. What is left of it after so long is killed.
LAST_WORDS: Final = 10.0


class SupervisordWatchdog:
    """`turn` it again and again."""

    def __init__(self, run_directory: Path, limits: Limits) -> None:
        self.path = run_directory / NOTIFY_SOCKET
        self._supervisor = run_directory / SOCKET
        self._silence = Silence(limits)
        self._every = min(5.0, limits.working / 12)
        self._late_after = self._every + limits.working / 4
        self._last = time.monotonic()
        self._doomed: dict[int, float] = {}
        self._answers = True

    def turn(self, listener: NotifyListener) -> None:
        """Listen for a while, then see who is silent."""
        for heard in listener.hear(self._every):
            self._silence.hear(heard.pid, heard.message, time.monotonic())
        now = time.monotonic()
        if now - self._last > self._late_after:
            # The machine, or we, stood still; what daemons said meanwhile may be lost.
            log.warning("watchdog.late", seconds=round(now - self._last, 1))
            self._silence.forgive(now)
        self._last = now
        programs = self._programs()
        if programs is not None:
            self._judge(programs, now)

    def _judge(self, programs: list[Program], now: float) -> None:
        self._end_doomed(programs, now)
        for silent in self._silence.look([program for program in programs if not program.is_stopping], now):
            if silent.program.pid not in self._doomed:
                self._doomed[silent.program.pid] = now + LAST_WORDS
                _abort(silent)

    def _end_doomed(self, programs: list[Program], now: float) -> None:
        present = {program.pid: program for program in programs}
        for pid, deadline in list(self._doomed.items()):
            program = present.get(pid)
            if program is None:
                # It is dead; its pool processes need not be.
                _kill_group(pid)
                del self._doomed[pid]
            elif program.is_stopping:
                del self._doomed[pid]  # supervisord's to end
            elif now >= deadline:
                _kill_group(pid)
                self._doomed[pid] = now + LAST_WORDS

    def _programs(self) -> list[Program] | None:
        """Those that live and should speak; None where supervisord does not answer."""
        try:
            with supervisord(self._supervisor) as server:
                answer: list[dict[str, Any]] = server.getAllProcessInfo()
        except (*RPC_ERRORS, xmlrpc.client.Fault) as error:
            self._tell_change(answers=False, cause=str(error))
            return None
        self._tell_change(answers=True)
        return [
            Program(
                name=info["name"], pid=info["pid"], started=info["start"], is_stopping=info["statename"] == "STOPPING"
            )
            for info in answer
            # Those that supervisord does not count as running yet may have spoken: what they said is kept.
            if info["statename"] in ("STARTING", "RUNNING", "STOPPING") and info["name"].startswith(WATCHED)
        ]

    def _tell_change(self, *, answers: bool, cause: str = "") -> None:
        if answers == self._answers:
            return
        self._answers = answers
        if answers:
            log.info("watchdog.supervisor_back")
        else:
            log.warning("watchdog.supervisor_away", cause=cause, remedy="Nobody is killed until supervisord answers")


def _abort(silent: Silent) -> None:
    log.error(
        "watchdog.killed",
        program=silent.program.name,
        pid=silent.program.pid,
        silent=round(silent.seconds, 1),
        phase=silent.phase.value,
        remedy="supervisord starts it anew; what its threads were doing stands in its log",
    )
    with contextlib.suppress(ProcessLookupError):
        os.kill(silent.program.pid, signal.SIGABRT)


def _kill_group(pid: int) -> None:
    """The program and its pool processes: supervisord makes each program the leader of a group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
