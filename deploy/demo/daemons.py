"""supervisord with the whole set under it: started, watched, stopped without a trace."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from concord.adapters.supervisord_rpc import RPC_ERRORS, supervisord
from deploy.demo.leftovers import leftovers, stop
from deploy.demo.prepare import admin_password, check_ports, prepare
from deploy.demo.state import ROOT, CannotRunError, State

UP_SECONDS: Final = 60.0
# A worker gives running tasks 5 s (see prepare.SETTINGS) before it hands them back.
STOP_SECONDS: Final = 25.0


@dataclass(frozen=True, slots=True)
class Daemons:
    """A running set. Its programs are known by supervisord's names."""

    state: State
    supervisord: subprocess.Popen[bytes]

    def programs(self) -> dict[str, str]:
        """Every program's state as supervisord names it: RUNNING, BACKOFF, … Empty while nobody answers."""
        try:
            with supervisord(self.state.socket) as server:
                answer: Any = server.getAllProcessInfo()
        except RPC_ERRORS:
            return {}
        return {program["name"]: program["statename"] for program in answer}

    def wait_until_up(self) -> None:
        """Until every program runs. Raises CannotRunError with the end of the log of one that does not."""
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline:
            self.check_alive()
            programs = self.programs()
            if programs and set(programs.values()) == {"RUNNING"}:
                return
            time.sleep(0.1)
        down = [name for name, state in self.programs().items() if state != "RUNNING"] or ["supervisord"]
        raise CannotRunError(
            f"Not running after {UP_SECONDS:.0f} s: {', '.join(down)}.\n{tail_of_logs(self.state.logs, down)}"
        )

    def check_alive(self) -> None:
        """Raises CannotRunError if supervisord is gone."""
        if self.supervisord.poll() is not None:
            raise CannotRunError(f"supervisord ended.\n{tail_of_logs(self.state.logs, ['supervisord'])}")

    def stop(self) -> None:
        """Everything ends, softly if it can, and no process stays."""
        self.supervisord.terminate()
        try:
            self.supervisord.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.supervisord.kill()
            self.supervisord.wait(timeout=5)
        stop(leftovers(self.state), within=3)


@contextmanager
def running(state: State) -> Iterator[Daemons]:
    """The set, up while the block runs; stopped whatever ends the block, ^C included."""
    state.folder.mkdir(parents=True, exist_ok=True)
    with (state.folder / "lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRunError(
                f"It runs already, from {state.folder}. Stop that one (^C there), or set RUN_DIR and the ports."
            ) from None
        _on_stop_signals(_as_interrupt)
        _stop_leftovers(state)
        check_ports(state)
        prepare(state)
        _upgrade_database(state)
        _let_admin_in(state)
        daemons = Daemons(state=state, supervisord=_start_supervisord(state))
        try:
            yield daemons
        finally:
            # ^C again while things stop must not leave half of them.
            _on_stop_signals(signal.SIG_IGN)
            daemons.stop()


def concord(state: State, *arguments: str, stdin: str = "") -> str:
    """Run `concord …` as an operator does; what it printed. Raises CannotRunError with what it said."""
    command = [f"{state.environment()['DAEMON_BIN']}/concord", *arguments]
    done = subprocess.run(
        command, input=stdin, env=state.environment(), capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise CannotRunError(f"concord {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _let_admin_in(state: State) -> None:
    """The user `admin` of the admin site, made at the first run."""
    known = json.loads(concord(state, "user", "list", "--json"))
    if not known:
        concord(state, "user", "add", "admin", "--role", "admin", "--password-stdin", stdin=admin_password(state))


def tail_of_logs(logs: Path, programs: list[str]) -> str:
    """The last lines of the logs these programs write."""
    names = sorted({_log_of(program) for program in programs})
    return "\n".join(_tail(logs / f"{name}.log") for name in names)


def _start_supervisord(state: State) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(ROOT / "deploy/supervisor/dev.conf")]
    # Away from the terminal: ^C comes to us alone, and we stop things in order.
    with (state.logs / "supervisord.out").open("wb") as out:
        return subprocess.Popen(
            command,
            env=state.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _upgrade_database(state: State) -> None:
    concord(state, "db", "upgrade")


def _stop_leftovers(state: State) -> None:
    if orphans := leftovers(state):
        say = ", ".join(f"{process.name()} ({process.pid})" for process in orphans)
        print(f"An earlier run left processes behind; stopping them: {say}", flush=True)
        stop(orphans)


def _on_stop_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """For ^C, kill, and a terminal that is closed; even where a shell has started us with ^C ignored."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, handler)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _log_of(program: str) -> str:
    if program.startswith(("concord-beat", "concord-worker", "concord-flower")):
        return f"celery-{program.split('-')[1]}"
    return program


def _tail(path: Path, lines: int = 15) -> str:
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else "(nothing)"
    return f"── {path} ──\n" + "\n".join(text.splitlines()[-lines:])
