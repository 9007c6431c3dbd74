"""`concord service` on real daemons under a real supervisord: what it says is so (M2, M4, M5)."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.servers.supervisord import Supervisord
from tests.waiting import INTERRUPTIBLE, eventually

SHIPPED = Path(__file__).parents[2] / "deploy/supervisor"
WORKERS = ("concord-worker-poll", "concord-worker-mail", "concord-worker-deliver")
SET = ("concord-beat", *WORKERS, "concord-flower")
FLOWER_PASSWORD = "flower-Bl0menkohl"
COMMAND = [*INTERRUPTIBLE, sys.executable, "-m", "concord", "service"]


class Service:
    """The command, and what is really there."""

    def __init__(self, stack: Stack, supervisord: Supervisord, redis: RedisServer) -> None:
        self.stack, self.supervisord, self.redis = stack, supervisord, redis

    def __call__(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.stack.cli("service", *arguments, check=check, **variables)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments], env=self.stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def pids(self) -> dict[str, int]:
        return {name: self.supervisord.pid(name) for name in SET}

    @contextmanager
    def stopped_process(self, program: str) -> Iterator[None]:
        """Alive, and doing nothing."""
        pid = self.supervisord.pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The installed programs, moved to a folder of the test's own; all of them run."""
    with tempfile.TemporaryDirectory(prefix="concord-door-") as name, RedisServer() as redis:
        place = Path(name)
        run = place / "run"
        stack = Stack(
            place,
            redis_url=redis.url,
            credentials={"flower__password": FLOWER_PASSWORD},
            service={"supervisor": "supervisord", "run_directory": str(run), "canary_timeout": 90},
            flower={"port": free_port()},
            admin={"port": free_port()},
        )
        with stack:
            run.mkdir()
            for file, target in (
                ("supervisord.conf", "supervisord.conf"),
                ("concord.conf", "supervisor.d/concord.conf"),
            ):
                (place / target).parent.mkdir(exist_ok=True)
                (place / target).write_text(
                    _moved((SHIPPED / file).read_text(encoding="utf-8"), place), encoding="utf-8"
                )
            with Supervisord(place / "supervisord.conf", run, stack.env) as supervisord:
                yield Service(stack, supervisord, redis)


def _moved(text: str, place: Path) -> str:
    changes = {
        "/usr/lib/concord/bin": str(Path(sys.executable).parent),
        "/var/lib/concord": str(place),
        "/var/log/concord": str(place / "logs"),
        "/run/concord": str(place / "run"),
        "user=concord": f"user={getpass.getuser()}",
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


@pytest.fixture
def working(service: Service) -> Service:
    """Everything runs and works."""
    service("start")
    return service


def test_a_start_that_returns_has_daemons_that_work(service: Service) -> None:
    """M4: tasks came back from all workers, Beat has ticked, the schedule is equal to the accounts."""
    service("stop")

    done = service("start")

    assert "beat, worker@poll, worker@mail, worker@deliver and flower run and work" in done.stdout
    assert "The schedule has 0 accounts" in done.stdout
    assert all(service.supervisord.is_running(name) for name in SET)
    assert service("status", check=False).returncode == 0


def test_a_stop_that_returns_has_left_no_process(working: Service) -> None:
    """M4."""
    processes = [psutil.Process(pid) for pid in working.pids().values()]
    family = [one for process in processes for one in (process, *process.children(recursive=True))]

    working("stop")

    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    status = working("status", check=False)
    assert (status.returncode, status.stdout.splitlines()[-1].split(".")[0]) == (3, "All daemons are stopped")
    assert working.supervisord.is_running("concord-admin")


def test_status_shows_what_each_daemon_does(working: Service) -> None:
    def counted() -> bool:
        lines = working("status", check=False).stdout.splitlines()
        mail = next(line for line in lines if "worker-mail" in line)
        return "● running" in mail and " MB" in mail and any(word.isdecimal() for word in mail.split()[7:])

    assert eventually(counted, within=60), working("status", check=False).stdout


def test_a_worker_that_lives_and_does_nothing_fails_the_start(working: Service) -> None:
    """M4: active is not working."""
    with working.stopped_process("concord-worker-mail"):
        done = working("start", "--only", "worker", check=False, CONCORD_SERVICE__CANARY_TIMEOUT="10")

    assert done.returncode == 1
    assert "Error: A daemon runs, but does not work." in done.stderr
    assert "daemon: worker@mail\n" in done.stderr
    assert "its last lines:" in done.stderr
    assert "waiting for a task to come back from worker@mail …" in done.stderr


def test_an_interrupted_toggle_leaves_nothing_locked(working: Service) -> None:
    with working.stopped_process("concord-worker-mail"), working.begin("start") as waiting:
        assert waiting.stderr is not None
        told = iter(waiting.stderr.readline, "")
        assert any("waiting for" in line for line in told)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=60) == 130

    assert "flower is stopped" in working("stop", "--only", "flower").stdout


def test_two_toggles_at_once_take_turns(working: Service) -> None:
    """M2: the second waits a little, or is told whose turn it is."""
    with working.begin("restart") as first, working.begin("restart") as second:
        ended = [(one.wait(timeout=120), one.stderr.read() if one.stderr else "") for one in (first, second)]

    (first_code, _), (code, said) = sorted(ended)
    assert first_code == 0, ended
    assert code == 0 or ("Another toggle is under way" in said and "restart by" in said)
    assert working("status", check=False).returncode == 0


def test_one_daemon_is_moved_and_no_other(working: Service) -> None:
    """M5."""
    before = working.pids()

    working("restart", "--only", "beat")

    after = working.pids()
    assert {name for name in SET if before[name] != after[name]} == {"concord-beat"}


def test_logs_are_readable_lines(working: Service) -> None:
    said = working("logs", "--only", "worker", "--lines", "5").stdout

    assert "── worker@mail" in said
    assert len(said.splitlines()) <= 18


def test_follow_goes_on_showing(working: Service) -> None:
    with working.begin("logs", "--only", "beat", "--follow") as following:
        assert following.stdout is not None
        assert following.stdout.readline()
        following.send_signal(signal.SIGINT)
        following.wait(timeout=30)


def test_flowers_page_is_named_and_its_password_is_not(working: Service) -> None:
    """A3."""
    assert eventually(lambda: working("flower", check=False).returncode == 0, within=30)

    said = working("flower").stdout

    assert "yes, and asks for the login" in said
    assert str(working.stack.folder / "credentials" / "flower__password") in said
    assert FLOWER_PASSWORD not in said


def test_who_asked_for_what_can_be_read(working: Service) -> None:
    """M3."""
    working("stop", "--only", "flower")
    working("stop", "--only", "nothing", check=False)

    refused, done = working.stack.cli("audit", "list", "--limit", "2").stdout.splitlines()[1:3]

    assert all(word in done for word in ("cli", "service.stop", "flower", "done"))
    assert all(word in refused for word in ("service.stop", "nothing", "refused"))


def test_without_redis_nothing_is_started_and_all_can_be_stopped(working: Service) -> None:
    """M4. The last one: its Redis does not come back."""
    before = working.pids()
    working.redis.stop()

    refused = working("restart", check=False)

    assert refused.returncode == 1
    assert "Redis did not answer, so nothing was restarted" in refused.stderr
    assert working.pids() == before
    status = working("status", check=False)
    assert status.returncode == 1
    assert "Redis did not answer" in status.stdout
    working("stop")
    assert not any(working.supervisord.is_running(name) for name in SET)
