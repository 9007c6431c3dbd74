"""Which of supervisord's programs has fallen silent: the watchdog's bookkeeping, without socket, process or clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """What a program last said of itself."""

    STARTING = "starting"  # nothing yet
    WORKING = "working"
    STOPPING = "stopping"  # it ends by itself, after its running tasks


# sd_notify(3). A status alone proves no work.
_SAYS: Final = {b"READY=1": Phase.WORKING, b"WATCHDOG=1": Phase.WORKING, b"STOPPING=1": Phase.STOPPING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a program may say nothing, in seconds."""

    starting: float = 90.0
    working: float = 60.0
    stopping: float = 600.0  # beyond process.time_limit: the longest task that a worker waits for

    def of(self, phase: Phase) -> float:
        """The limit of a phase."""
        return {Phase.STARTING: self.starting, Phase.WORKING: self.working, Phase.STOPPING: self.stopping}[phase]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One that supervisord keeps, and that should speak."""

    name: str
    pid: int
    started: int  # supervisord's figure; with the pid, one life of the program
    is_stopping: bool = False  # as told by supervisord, which kills it in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A program that said nothing for longer than it may."""

    program: Program
    phase: Phase
    seconds: float


@dataclass(slots=True)
class _Life:
    at: float
    phase: Phase = Phase.STARTING
    started: int | None = None  # not known before supervisord was asked


class Silence:
    """Remembers who spoke when. Times are those of one clock that never jumps, in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lives: dict[int, _Life] = {}

    def hear(self, pid: int, message: bytes, now: float) -> None:
        """A datagram came from this process."""
        said = [_SAYS[line] for line in message.split(b"\n") if line in _SAYS]
        if not said:
            return
        life = self._lives.setdefault(pid, _Life(at=now))
        life.at = now
        if life.phase is not Phase.STOPPING:
            life.phase = said[-1]

    def look(self, programs: Iterable[Program], now: float) -> list[Silent]:
        """Those that were silent too long. A program seen for the first time begins with a fresh clock."""
        present = {program.pid: program for program in programs}
        self._lives = {pid: self._life(program, now) for pid, program in present.items()}
        return [
            Silent(program=present[pid], phase=life.phase, seconds=now - life.at)
            for pid, life in self._lives.items()
            if now - life.at > self._limits.of(life.phase)
        ]

    def forgive(self, now: float) -> None:
        """Every clock begins anew: it was we who did not listen."""
        for life in self._lives.values():
            life.at = now

    def _life(self, program: Program, now: float) -> _Life:
        life = self._lives.get(program.pid)
        if life is None or life.started not in (None, program.started):
            return _Life(at=now, started=program.started)
        life.started = program.started
        return life
