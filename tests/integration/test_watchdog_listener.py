"""The watchdog under a real supervisord: whoever falls silent is killed and back, and nobody else is touched."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from concord.adapters.notify_listener import NotifyListener
from concord.errors import SettingsError
from concord.wording import english
from tests.servers.supervisord import HEAD, Supervisord
from tests.waiting import eventually, never

ROOT = Path(__file__).parents[2]
PERIOD = 2
PROGRAM = """
[program:{name}]
command={command}
directory={root}
environment={environment}
autorestart=true
startsecs={startsecs}
stopwaitsecs=6
killasgroup=true
redirect_stderr=true
stdout_logfile={run}/{name}.log
stdout_logfile_maxbytes=0
"""
MANNERS = {
    "concord-beat": "works",
    "concord-flower": "works",
    "concord-admin": "child",
    "concord-worker-poll": "mute",
    "concord-worker-mail": "deaf",
    "concord-worker-extra": "stops",
}


@pytest.fixture
def run() -> Iterator[Path]:
    """A short path: a socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="concord-run-") as folder:
        yield Path(folder)


@pytest.fixture
def supervisord(run: Path, request: pytest.FixtureRequest) -> Iterator[Supervisord]:
    """The watchdog, and the programs that a test names (all of them by default)."""
    names = getattr(request, "param", list(MANNERS))
    startsecs, start_limit = (6, 60) if request.node.get_closest_marker("slow_start") else (0, 4)
    period = f'WATCHDOG_USEC="{PERIOD * 1_000_000}"'
    text = HEAD.format(run=run) + PROGRAM.format(
        name="concord-watchdog",
        command=f"{sys.executable} -m concord watchdog run --start-limit {start_limit}",
        environment=f'{period},CONCORD_SERVICE__RUN_DIRECTORY="{run}"',
        root=ROOT,
        run=run,
        startsecs=0,
    )
    for name in names:
        text += PROGRAM.format(
            name=name,
            command=f"{sys.executable} -m tests.servers.speaker {MANNERS[name]}",
            environment=f'{period},NOTIFY_SOCKET="{run}/notify.sock"',
            root=ROOT,
            run=run,
            startsecs=startsecs,
        )
    config = run / "supervisord.conf"
    config.write_text(text, encoding="utf-8")
    with Supervisord(config, run, dict(os.environ)) as running:
        assert eventually((run / "notify.sock").exists)
        yield running


def _made(file: Path) -> int:
    """When, in nanoseconds; 0 where it is missing."""
    try:
        return file.stat().st_ctime_ns
    except FileNotFoundError:
        return 0


def said(run: Path) -> str:
    return (run / "concord-watchdog.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("supervisord", [["concord-beat", "concord-worker-mail", "concord-flower"]], indirect=True)
def test_a_stopped_process_is_killed_and_back_and_the_others_stay(supervisord: Supervisord, run: Path) -> None:
    """D1: SIGSTOP, and a process that ignores SIGABRT: both are killed for good and started anew."""
    beat, deaf, flower = (supervisord.pid(name) for name in ("concord-beat", "concord-worker-mail", "concord-flower"))
    assert eventually(lambda: psutil.Process(deaf).status() == psutil.STATUS_SLEEPING)

    for pid in (beat, deaf):
        os.kill(pid, signal.SIGSTOP)

    assert eventually(lambda: supervisord.pid("concord-beat") not in (0, beat), within=40), said(run)
    assert eventually(lambda: supervisord.pid("concord-worker-mail") not in (0, deaf), within=40), said(run)
    assert supervisord.pid("concord-flower") == flower
    assert said(run).count("watchdog.killed") == 2
    assert '"program": "concord-beat"' in said(run)


@pytest.mark.slow_start
@pytest.mark.parametrize("supervisord", [["concord-beat"]], indirect=True)
def test_what_a_program_said_before_supervisord_counted_it_as_running_is_remembered(
    supervisord: Supervisord, run: Path
) -> None:
    """It is up, and so has the limit of one that works, not that of a start."""
    beat = supervisord.pid("concord-beat")
    assert eventually(lambda: "has spoken" in (run / "concord-beat.log").read_text(encoding="utf-8"))

    os.kill(beat, signal.SIGSTOP)

    assert supervisord.info("concord-beat")["statename"] == "STARTING"
    assert eventually(lambda: supervisord.pid("concord-beat") not in (0, beat), within=30), said(run)


@pytest.mark.parametrize("supervisord", [["concord-admin", "concord-worker-poll"]], indirect=True)
def test_who_never_speaks_and_whose_child_speaks_instead_are_killed(supervisord: Supervisord, run: Path) -> None:
    """D1: the pool process of the killed one goes with it, and its stacks are in its log."""
    family = [one.pid for one in psutil.Process(supervisord.pid("concord-admin")).children()]
    first = {name: supervisord.pid(name) for name in ("concord-admin", "concord-worker-poll")}

    for name, pid in first.items():
        assert eventually(lambda name=name, pid=pid: supervisord.pid(name) not in (0, pid), within=40), said(run)  # type: ignore[misc]

    assert "Fatal Python error: Aborted" in (run / "concord-admin.log").read_text(encoding="utf-8")
    assert eventually(lambda: not any(map(psutil.pid_exists, family)))


@pytest.mark.parametrize("supervisord", [["concord-worker-extra", "concord-flower"]], indirect=True)
def test_whoever_ends_or_is_being_ended_is_left_alone(supervisord: Supervisord, run: Path) -> None:
    """D2: what says STOPPING=1, and what supervisord is stopping, though it is silent for long."""
    extra, flower = supervisord.pid("concord-worker-extra"), supervisord.pid("concord-flower")
    # Before that SIGTERM would end it, stopped or not, as soon as it is started.
    assert eventually(lambda: "has spoken" in (run / "concord-flower.log").read_text(encoding="utf-8"))
    os.kill(flower, signal.SIGSTOP)

    supervisord.call("stopProcess", "concord-flower")

    assert supervisord.info("concord-flower")["statename"] == "STOPPED"
    assert supervisord.info("concord-flower")["stop"] - supervisord.info("concord-flower")["start"] >= 2 * PERIOD
    assert supervisord.pid("concord-worker-extra") == extra
    assert "watchdog.killed" not in said(run)


@pytest.mark.parametrize("supervisord", [["concord-beat"]], indirect=True)
def test_a_watchdog_killed_or_without_its_socket_comes_back_and_kills_nobody(
    supervisord: Supervisord, run: Path
) -> None:
    beat, watchdog = supervisord.pid("concord-beat"), supervisord.pid("concord-watchdog")
    # Its time, for a file system gives the number of a file that is gone to the next one.
    first = (run / "notify.sock").stat().st_ctime_ns
    os.kill(watchdog, signal.SIGKILL)
    assert eventually(lambda: supervisord.pid("concord-watchdog") not in (0, watchdog))
    assert eventually(lambda: _made(run / "notify.sock") > first)
    second = _made(run / "notify.sock")

    (run / "notify.sock").unlink()

    assert eventually(lambda: _made(run / "notify.sock") > second)
    assert never(lambda: "watchdog.killed" in said(run), within=2 * PERIOD)
    assert supervisord.pid("concord-beat") == beat


@pytest.mark.parametrize("supervisord", [["concord-beat"]], indirect=True)
def test_a_watchdog_that_stood_still_gives_everybody_a_full_period(supervisord: Supervisord, run: Path) -> None:
    """As after a suspended machine: nobody could be heard."""
    beat, watchdog = supervisord.pid("concord-beat"), psutil.Process(supervisord.pid("concord-watchdog"))
    assert eventually(lambda: watchdog.status() == psutil.STATUS_SLEEPING)
    os.kill(beat, signal.SIGSTOP)
    watchdog.suspend()
    assert never(lambda: False, within=2 * PERIOD)

    watchdog.resume()
    os.kill(beat, signal.SIGCONT)

    assert eventually(lambda: "watchdog.late" in said(run)), said(run)
    assert never(lambda: "watchdog.killed" in said(run), within=1.5 * PERIOD)
    assert supervisord.pid("concord-beat") == beat


@pytest.mark.parametrize("supervisord", [["concord-beat"]], indirect=True)
def test_while_supervisord_does_not_answer_nobody_is_killed(supervisord: Supervisord, run: Path) -> None:
    beat = supervisord.pid("concord-beat")
    assert supervisord.process is not None
    os.kill(supervisord.process.pid, signal.SIGSTOP)
    os.kill(beat, signal.SIGSTOP)
    try:
        assert eventually(lambda: psutil.Process(beat).status() == psutil.STATUS_STOPPED)
        assert never(lambda: psutil.Process(beat).status() != psutil.STATUS_STOPPED, within=8)
    finally:
        os.kill(supervisord.process.pid, signal.SIGCONT)

    assert eventually(lambda: "watchdog.supervisor_away" in said(run) and "watchdog.supervisor_back" in said(run))
    assert eventually(lambda: supervisord.pid("concord-beat") not in (0, beat), within=40), said(run)


def test_the_kernel_names_the_speaker_and_descriptors_sent_along_are_dropped(run: Path) -> None:
    path = run / "notify.sock"
    with NotifyListener(path) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        before = len(psutil.Process().open_files()) + psutil.Process().num_fds()
        with (run / "sent").open("wb") as file:
            sender.connect(str(path))
            socket.send_fds(sender, [b"READY=1"], [file.fileno()])

        heard = list(listener.hear(0.1))

        assert [(one.pid, one.message) for one in heard] == [(os.getpid(), b"READY=1")]
        assert len(psutil.Process().open_files()) + psutil.Process().num_fds() == before
        assert path.stat().st_mode & 0o777 == 0o660
    assert not path.exists()


def test_a_place_where_no_socket_can_be_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused, NotifyListener(tmp_path / "missing" / "notify.sock"):
        pass

    assert "missing/notify.sock" in english.explain(refused.value)
    assert "service.run_directory" in english.explain(refused.value)
