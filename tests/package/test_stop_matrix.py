"""Workers stopped, restarted and killed with long work in their hands lose none of it (D2, traps 20 and 21)."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.figures import Note
from tests.package.host import PYTHON, WORKERS, Host

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["bookworm"], indirect=True, scope="session")

PROBE = """\
import os, time
from celery import shared_task

@shared_task(name="probe.slow")
def slow(token, seconds):
    note("begin", token)
    time.sleep(seconds)
    note("end", token)

def note(what, token):
    with open("/var/lib/concord/probe.log", "a") as log:
        log.write(f"{what} {token} {os.getpid()}\\n")
"""
DROP_IN = """\
[Service]
Environment=PYTHONPATH=/opt/probe
ExecStart=
ExecStart=/usr/bin/concord worker run %i -- --include=concord_probe
"""
# A lease on a mail lasts as long as a task may: short, so that what a killed worker held is soon anyone's.
SETTINGS = """\
[poll]
budget = 10
[process]
soft_time_limit = 20
time_limit = 25
[upkeep]
sweep_interval = 5
requeue_after = 10
"""
SEND = """\
import sys
from concord.bootstrap import concord
for queue in ("email", "email-poll"):
    work = [f"{sys.argv[1]}-{queue}", int(sys.argv[2])]
    concord().celery.send_task("probe.slow", args=work, queue=queue, time_limit=200, soft_time_limit=190)
"""
DEPTH = "import json; from concord.bootstrap import concord; print(json.dumps(concord().queue.depth()))"
SOFT_SHUTDOWN = 30
# Longer than a soft shutdown waits.
SLOW = 45


@pytest.fixture(scope="module")
def busy_host(host: Host) -> Host:
    """Its workers also know a task that takes as long as it is told."""
    host.machine.put("/opt/probe/concord_probe.py", PROBE)
    host.machine.put("/etc/systemd/system/concord-worker@.service.d/probe.conf", DROP_IN)
    host.machine.put("/etc/concord/concord.toml", SETTINGS)
    host.machine.run("systemctl daemon-reload && systemctl restart concord-celery.target")
    host.wait_until_up(within=90)
    return host


def send(host: Host, token: str) -> None:
    """Long work on each queue, and both have begun."""
    host.machine.run([PYTHON, "-c", SEND, token, str(SLOW)], user="concord")
    host.machine.wait_until(lambda: begun(host, token, 1), within=30, why="both tasks have begun")


def lines(host: Host) -> list[list[str]]:
    path = host.machine.path("/var/lib/concord/probe.log")
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def counted(host: Host, what: str, token: str) -> list[int]:
    """How often it happened on each queue."""
    counts = Counter(line[1] for line in lines(host) if line[0] == what)
    return [counts[f"{token}-email"], counts[f"{token}-email-poll"]]


def begun(host: Host, token: str, times: int) -> bool:
    return min(counted(host, "begin", token)) >= times


def ended(host: Host, token: str) -> bool:
    return min(counted(host, "end", token)) >= 1


def waiting(host: Host) -> dict[str, int]:
    depth: dict[str, int] = host.machine.json([PYTHON, "-c", DEPTH], user="concord")  # type: ignore[arg-type]
    return depth


def test_stop_gives_back_at_once_what_is_not_done_in_time(busy_host: Host, note: Note) -> None:
    """D2: after the next start it is begun again."""
    host = busy_host
    send(host, "work")

    began = time.monotonic()
    host.machine.run(["systemctl", "stop", *WORKERS])
    took = time.monotonic() - began

    note("stopping workers with long work in hand", f"{took:.1f} s")
    assert SOFT_SHUTDOWN - 2 < took < SOFT_SHUTDOWN + 15
    assert not any(host.machine.pids(unit) for unit in WORKERS)
    assert host.machine.output("systemctl --failed --no-legend --plain") == ""
    depth = waiting(host)
    assert (depth["email"] >= 1, depth["email-poll"] >= 1, depth["unacked"]) == (True, True, 0), depth
    host.machine.run(["systemctl", "start", *WORKERS])
    host.machine.wait_until(lambda: begun(host, "work", 2), within=30)


def test_restart_and_a_killed_child_delay_work_and_lose_none(busy_host: Host) -> None:
    """D2: the same work, which runs to its end at last."""
    host = busy_host

    host.machine.run(["systemctl", "restart", *WORKERS], timeout=180)
    host.machine.wait_until(lambda: begun(host, "work", 3), within=30)
    child = [line[2] for line in lines(host) if line[1] == "work-email"][-1]
    host.machine.run(["kill", "-KILL", child])

    host.machine.wait_until(lambda: counted(host, "begin", "work")[0] >= 4, within=30)
    host.machine.wait_until(lambda: ended(host, "work"), within=SLOW + 30)


def test_warm_stop_lets_short_work_end(busy_host: Host) -> None:
    """D2: nothing in hand, nothing to wait for."""
    host = busy_host

    began = time.monotonic()
    host.machine.run(["systemctl", "restart", *WORKERS])

    assert time.monotonic() - began < SOFT_SHUTDOWN
    host.wait_until_up()


@pytest.mark.parametrize("unit", WORKERS)
def test_killed_main_process_loses_and_doubles_no_mail(busy_host: Host, unit: str, note: Note) -> None:
    """P5, D2: kill -9 in the middle of a heap of mail."""
    host = busy_host
    user = unit.partition("@")[2].partition(".")[0]
    host.add_account(user)
    host.deliver(user, 400)
    host.machine.wait_until(lambda: sum(host.events().values()) > 0, within=60, every=0.1)

    host.machine.run(["kill", "-KILL", str(host.machine.main_pid(unit))])

    took = host.wait_for_events(within=120)
    note(f"kill -9 of {unit.removesuffix('.service')} amid 400 mails: all are events", f"{took:.0f} s later")
