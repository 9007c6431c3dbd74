"""The memory twin and a real supervisord keep the same promises; systemd does in tests/package."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from concord.adapters.supervisord import SupervisordSupervisor
from concord.errors import SupervisorDownError
from concord.model.daemon import program_name
from concord.wording import english
from tests.fakes.supervisor import MemorySupervisor
from tests.servers.supervisord import HEAD, Supervisord
from tests.supervisor_contract import (
    ALL,
    BRIEF,
    BROKEN,
    GOOD,
    MEMBERS,
    MUTE,
    SCRIPTS,
    RealSupervisorContract,
    SupervisorContract,
)

PROGRAM = """
[program:{program}]
command=/bin/sh {run}/{program}.sh
autostart=false
autorestart={restarts}
startsecs={startsecs}
startretries=1000000
stopsignal=TERM
stopwaitsecs=15
killasgroup=true
redirect_stderr=true
stdout_logfile={run}/{program}.log
stdout_logfile_maxbytes=0
"""


@dataclass
class InMemory:
    supervisor: MemorySupervisor

    def pids(self, name: str) -> list[int]:
        pid = self.supervisor.daemons[name].pid
        return [pid] if pid else []

    def mend(self) -> None:
        self.supervisor.failing.clear()

    def end(self, name: str) -> None:
        raise NotImplementedError


class TestMemory(SupervisorContract):
    @pytest.fixture
    def hosted(self) -> InMemory:
        supervisor = MemorySupervisor(ALL)
        supervisor.failing[BROKEN] = ("starting", "no such luck")
        supervisor.never_ready.add(MUTE)
        return InMemory(supervisor)


@dataclass
class UnderSupervisord:
    supervisor: SupervisordSupervisor
    server: Supervisord
    groups: dict[str, int] = field(default_factory=dict)

    def pids(self, name: str) -> list[int]:
        """All in the group of a process that the daemon has or had."""
        if pid := self.server.pid(program_name(name)):
            self.groups[name] = pid
        return [one.pid for one in psutil.process_iter() if _group(one) == self.groups[name]]

    def mend(self) -> None:
        (self.server.run / "mended").touch()

    def end(self, name: str) -> None:
        os.kill(self.server.pid(program_name(name)), signal.SIGUSR1)


def _group(process: psutil.Process) -> int:
    """Zero for a dead one, which nobody may have waited for."""
    try:
        return 0 if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return 0


@pytest.fixture
def run() -> Iterator[Path]:
    """A short path: a socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="concord-run-") as folder:
        yield Path(folder)


@pytest.fixture
def hosted(run: Path) -> Iterator[UnderSupervisord]:
    text = HEAD.format(run=run) + f"\n[group:concord]\nprograms={','.join(map(program_name, MEMBERS))}\n"
    for name, script in SCRIPTS.items():
        program = program_name(name)
        (run / f"{program}.sh").write_text(script.replace("@READY@", ":"), encoding="utf-8")
        text += PROGRAM.format(
            program=program,
            run=run,
            restarts=str(name != BRIEF).lower(),
            startsecs=1000 if name == MUTE else 1,
        )
    config = run / "supervisord.conf"
    config.write_text(text, encoding="utf-8")
    with Supervisord(config, run, {"PATH": os.environ["PATH"]}) as server:
        yield UnderSupervisord(SupervisordSupervisor(run, seconds=2), server)
        # It would stop its programs one after the other.
        for process in (*server.family(), server.process):
            assert process
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class TestSupervisord(RealSupervisorContract):
    def test_program_is_named_as_supervisorctl_wants_it(self, hosted: UnderSupervisord) -> None:
        units = [state.unit for state in hosted.supervisor.states(ALL)]

        assert units[0] == "concord:concord-beat"
        assert "concord-admin:concord-admin" in units

    def test_memory_counts_the_children_too(self, hosted: UnderSupervisord) -> None:
        hosted.supervisor.start([BRIEF], timeout=20)
        shell = psutil.Process(hosted.server.pid(program_name(BRIEF)))

        [state] = hosted.supervisor.states([BRIEF])

        assert state.memory is not None
        assert state.memory > shell.memory_full_info().pss

    def test_program_whose_command_is_gone_says_so(self, hosted: UnderSupervisord) -> None:
        config = hosted.server.config.read_text(encoding="utf-8")
        hosted.server.config.write_text(config.replace(f"/bin/sh {hosted.server.run}/concord-admin", "/nowhere/x"))
        hosted.server.call("reloadConfig")
        hosted.server.call("removeProcessGroup", "concord-admin")
        hosted.server.call("addProcessGroup", "concord-admin")

        with pytest.raises(Exception, match="The daemon did not start") as caught:
            hosted.supervisor.start(["admin"], timeout=20)

        assert "/nowhere/x" in str(caught.value.facts["cause"])  # type: ignore[attr-defined]

    def test_orphaned_pool_process_is_waited_for(self, hosted: UnderSupervisord) -> None:
        """M2: its parent was killed, so nobody but us looks for it."""
        hosted.supervisor.start([BRIEF], timeout=20)
        assert len(hosted.pids(BRIEF)) == 2
        shell, child = sorted(hosted.pids(BRIEF))
        os.kill(shell, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (shell, signal.SIGKILL)).start()
        threading.Timer(2.0, os.kill, (child, signal.SIGKILL)).start()

        hosted.supervisor.stop([BRIEF], timeout=20)

        assert hosted.pids(BRIEF) == []

    def test_unreadable_log_is_told_not_raised(self, hosted: UnderSupervisord) -> None:
        assert hosted.supervisor.log_tail(GOOD, 5)[0].endswith("cannot be read: No such file or directory)")

    def test_supervisord_that_is_away_is_said_to_be(self, run: Path) -> None:
        supervisor = SupervisordSupervisor(run)

        with pytest.raises(SupervisorDownError) as caught:
            supervisor.states([GOOD])

        assert "No such file" in english.explain(caught.value)

    def test_supervisord_that_hangs_costs_its_time_limit_only(self, hosted: UnderSupervisord) -> None:
        assert hosted.server.process
        hosted.supervisor.start([GOOD], timeout=20)
        os.kill(hosted.server.process.pid, signal.SIGSTOP)
        began = time.monotonic()

        with pytest.raises(SupervisorDownError, match="did not answer") as caught:
            hosted.supervisor.stop([GOOD], timeout=20)
        os.kill(hosted.server.process.pid, signal.SIGCONT)

        assert time.monotonic() - began < 2 + 2
        assert caught.value.facts["cause"] == "no answer within 2 s"

    def test_what_is_no_supervisord_is_told_from_one(self, run: Path) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(run / "supervisor.sock"))
            other.listen()
            threading.Thread(target=_answer_nonsense, args=(other,), daemon=True).start()

            with pytest.raises(SupervisorDownError):
                SupervisordSupervisor(run, seconds=1).states([GOOD])


def _answer_nonsense(other: socket.socket) -> None:
    client, _address = other.accept()
    with client:
        client.recv(100)
        client.sendall(b"220 mail.example ESMTP\r\n")
