"""`make demo` as a newcomer meets it: every mail an event, nothing left running, plain words where it cannot start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.demo.leftovers import leftovers
from deploy.demo.mails import mails
from deploy.demo.state import State
from tests.servers.redis import free_port
from tests.waiting import INTERRUPTIBLE, eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[dict[str, str]]:
    """Variables that put a demo into a folder and on ports of its own."""
    with tempfile.TemporaryDirectory(prefix="concord-demo-") as folder:
        Path(folder).chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONCORD_")}
        yield inherited | {
            "RUN_DIR": f"{folder}/run",
            "LOG_DIR": f"{folder}/logs",
            "REDIS_PORT": str(free_port()),
            "IMAP_PORT": str(_three_free_ports()),
            "FLOWER_PORT": str(free_port()),
            "ADMIN_PORT": str(free_port()),
        }


def _three_free_ports() -> int:
    """The first of three in a row; the other two are given to nobody else either."""
    while True:
        first, *_, last = (free_port() for _ in range(3))
        if last == first + 2:
            return first


@contextmanager
def started(module: str, place: dict[str, str], **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The command behind `make demo` or `make run`, with what it prints."""
    process = subprocess.Popen(
        [*INTERRUPTIBLE, sys.executable, "-m", f"deploy.demo.{module}"],
        cwd=ROOT,
        env=place | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for one in leftovers(State.read(place)):
            one.kill()


def running(place: dict[str, str]) -> list[psutil.Process]:
    return leftovers(State.read(place))


def admin_signs_in(place: dict[str, str], told: str) -> bool:
    """With what the demo printed."""
    word = re.search(r"sign in: admin / (\S+)", told)
    assert word, told
    with httpx.Client(base_url=f"http://localhost:{place['ADMIN_PORT']}", follow_redirects=True) as browser:
        proof = re.search(r'name="csrf" value="(\w+)"', browser.get("/admin/login").text)
        assert proof
        fields = {"csrf": proof[1], "name": "admin", "password": word[1], "next": "/admin"}
        return browser.post("/admin/login", data=fields).url.path == "/admin"


def flower_answers(place: dict[str, str]) -> tuple[int, int]:
    """The status of its first page without and with the login."""
    login = ("concord", Path(place["RUN_DIR"], "credentials", "flower__password").read_text(encoding="utf-8"))
    page = f"http://127.0.0.1:{place['FLOWER_PORT']}/workers"
    return httpx.get(page).status_code, httpx.get(page, auth=login).status_code


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """All it printed up to the line with these words."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if words in line:
            return printed
    raise AssertionError(printed)


@pytest.mark.timeout(600)
def test_every_mail_becomes_an_event_twice_in_a_row(place: dict[str, str]) -> None:
    """W5."""
    expected = f"{len(mails('x'))} of {len(mails('x'))} mails became events"

    for _again in range(2):
        with started("demo", place, DEMO_EXIT="1") as demo:
            printed, _ = demo.communicate(timeout=240)

        assert demo.returncode == 0, printed
        assert expected in printed
        for told in (
            "Lunch on Thursday?",
            "关于十二月会议的安排",
            "お見積りの件",
            "Café",
            "十一月发票已归档",
            "stream",
        ):
            assert told in printed
        assert f"http://127.0.0.1:{place['FLOWER_PORT']}" in printed
        assert f"http://localhost:{place['ADMIN_PORT']}/admin" in printed
        assert running(place) == []


@pytest.mark.timeout(300)
def test_interrupt_stops_everything_within_seconds(place: dict[str, str]) -> None:
    """W5: the demo stays, with Flower behind its login, until ^C."""
    with started("demo", place) as demo:
        told = read_until(demo, "Logs ")
        assert admin_signs_in(place, told)
        assert flower_answers(place) == (401, 200)
        assert httpx.get(f"http://127.0.0.1:{place['ADMIN_PORT']}/healthz").json()["status"] == "ok"

        demo.send_signal(signal.SIGINT)
        printed, _ = demo.communicate(timeout=120)

        assert "Stopped." in printed
        assert running(place) == []


@pytest.mark.timeout(300)
def test_interrupt_while_things_start_leaves_nothing(place: dict[str, str]) -> None:
    with started("demo", place) as demo:
        read_until(demo, "Starting beat")
        assert eventually(lambda: len(running(place)) > 2)

        demo.send_signal(signal.SIGINT)
        printed, _ = demo.communicate(timeout=120)

        assert "Traceback" not in printed
        assert running(place) == []


@pytest.mark.timeout(300)
def test_run_stops_what_a_killed_run_left_behind(place: dict[str, str]) -> None:
    with started("run", place) as first:
        read_until(first, "^C stops everything")
        first.kill()
        _supervisord(place).kill()
        first.wait()
        assert running(place)

        with started("run", place) as second:
            printed = read_until(second, "^C stops everything")
            second.send_signal(signal.SIGINT)
            second.communicate(timeout=120)

    assert "stopping them" in printed
    assert second.returncode == 0
    assert running(place) == []


def _supervisord(place: dict[str, str]) -> psutil.Process:
    return psutil.Process(int(Path(place["RUN_DIR"], "supervisord.pid").read_text(encoding="utf-8")))


def test_a_second_run_is_refused_while_one_runs(place: dict[str, str]) -> None:
    folder = Path(place["RUN_DIR"])
    folder.mkdir()
    with subprocess.Popen(["flock", "--no-fork", str(folder / "lock"), "sleep", "60"]) as holder:
        assert eventually(lambda: _is_locked(folder / "lock"))
        with started("run", place) as run:
            printed, _ = run.communicate(timeout=90)
        holder.kill()

    assert run.returncode == 1
    assert "It runs already" in printed


def _is_locked(path: Path) -> bool:
    return path.exists() and subprocess.run(["flock", "-n", str(path), "true"], check=False).returncode != 0


def test_a_taken_port_is_named_with_its_holder_and_variable(place: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(place["REDIS_PORT"])))
        taken.listen()

        with started("run", place) as run:
            printed, _ = run.communicate(timeout=90)

    assert run.returncode == 1
    assert f"Port {place['REDIS_PORT']} is taken by {psutil.Process().name()} (process {os.getpid()})" in printed
    assert "REDIS_PORT=" in printed
    assert "Traceback" not in printed


def test_a_port_that_is_no_number_is_named(place: dict[str, str]) -> None:
    with started("run", place, FLOWER_PORT="many") as run:
        printed, _ = run.communicate(timeout=90)

    assert run.returncode == 1
    assert printed.startswith("FLOWER_PORT=many is no port")
