"""The set under supervisord, from the very files that the package installs, moved to a folder of the test's own."""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from concord.adapters.supervisord import SupervisordSupervisor
from concord.adapters.supervisord_programs import write_programs
from concord.model.message import MessageState
from tests.acceptance.conftest import add_mailbox
from tests.factories import mail
from tests.key_rotation import Flow
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.servers.supervisord import Supervisord
from tests.servers.webhook import WebhookReceiver
from tests.waiting import eventually

SHIPPED = Path(__file__).parents[2] / "deploy/supervisor"
SET = ("concord-beat", "concord-worker-poll", "concord-worker-mail", "concord-flower")
DAEMONS = (*SET, "concord-admin")
ALL = (*DAEMONS, "concord-watchdog")
PERIOD = 12  # a minute, scaled down


@dataclass(frozen=True, slots=True)
class Running:
    """A stack whose daemons supervisord keeps."""

    stack: Stack
    supervisord: Supervisord
    dovecot: Dovecot

    def pids(self, *names: str) -> dict[str, int]:
        return {name: self.supervisord.pid(name) for name in names}

    def are_running(self, *names: str) -> bool:
        return all(self.supervisord.is_running(name) for name in names)

    def log(self, name: str) -> str:
        return self.stack.log(name)

    def becomes_an_event(self, user: str, subject: str) -> bool:
        """A new mail, within a minute."""
        self.dovecot.deliver(user, mail(subject))
        return eventually(lambda: self.events().count(subject) == 1, within=60)

    def events(self) -> list[str]:
        return [event.subject for event in self.stack.concord.outbox.events(limit=10_000)]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="concord-set-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def moved(place: Path) -> Iterator[tuple[Stack, Supervisord]]:
    """The settings, and the installed files with their paths and the watchdog's figure changed, and nothing else."""
    run = place / "run"
    settings: dict[str, Any] = {
        "service": {"supervisor": "supervisord", "run_directory": str(run)},
        "flower": {"port": free_port()},
        "webhook": {"allow_networks": ["127.0.0.0/8"]},
        "admin": {"port": free_port()},
    }
    with RedisServer() as redis, Stack(place, redis_url=redis.url, **settings) as stack:
        run.mkdir()
        (place / "workers").mkdir()
        (place / "supervisor.d").mkdir()
        write_programs(["poll", "mail", "deliver"], place / "workers.conf")
        yield stack, installed_supervisord(stack, place, run)


def installed_supervisord(stack: Stack, place: Path, run: Path) -> Supervisord:
    """As `concord watchdog supervise` starts it, on the installed files moved to `place`."""
    for source, target in (
        ("supervisord.conf", "supervisord.conf"),
        ("daemons.conf", "daemons.conf"),
        ("concord.conf", "supervisor.d/concord.conf"),
    ):
        (place / target).write_text(moved_text((SHIPPED / source).read_text(encoding="utf-8"), place), encoding="utf-8")
    return Supervisord(place / "daemons.conf", run, {**stack.env, "DAEMON_WORKERS": str(place / "workers.conf")})


def moved_text(text: str, place: Path) -> str:
    """An installed file, with the paths of a folder of ours."""
    changes = {
        "/etc/concord": str(place),
        "/usr/lib/concord/bin": str(Path(sys.executable).parent),
        "/var/lib/concord": str(place),
        "/var/log/concord": str(place / "logs"),
        "/run/concord": str(place / "run"),
        "user=concord": f"user={getpass.getuser()}",
        'WATCHDOG_USEC="60000000"': f'WATCHDOG_USEC="{PERIOD * 1_000_000}"',
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def running(moved: tuple[Stack, Supervisord], dovecot: Dovecot) -> Iterator[Running]:
    """Started on an empty database, as in a new container: daemons and migration at the same moment."""
    stack, supervisord = moved
    stack.concord.engine.dispose()
    for file in stack.folder.glob("concord.db*"):
        file.unlink()
    with supervisord:
        yield Running(stack, supervisord, dovecot)


@pytest.fixture(scope="module")
def user(running: Running) -> str:
    """A mailbox in the schedule; all daemons run."""
    assert eventually(lambda: running.supervisord.info("concord-migrate")["statename"] == "EXITED", within=60)
    assert eventually(lambda: running.are_running(*ALL), within=60), running.supervisord.call("getAllProcessInfo")
    name = running.dovecot.add_user("supervised")
    add_mailbox(running.stack, running.dovecot, name)
    return name


def test_an_empty_database_is_made_ready_and_the_daemons_follow(running: Running) -> None:
    """W1: without systemd, too, the schema comes first; who is too early is tried again."""

    def is_up() -> bool:
        migrated = running.supervisord.info("concord-migrate")["statename"] == "EXITED"
        return migrated and running.are_running(*ALL) and running.log("celery-worker").count(" ready") >= 2

    assert eventually(is_up, within=60), running.log("concord-migrate") + running.log("celery-worker")

    assert running.supervisord.info("concord-migrate")["exitstatus"] == 0
    # Calm: a handful of tries, not twenty a second.
    assert running.log("celery-beat").count("concord db upgrade") <= 6


def test_mail_becomes_an_event(running: Running, user: str) -> None:
    """W2."""
    assert running.becomes_an_event(user, "First under supervisord"), running.log("celery-worker")


def test_no_secret_is_in_any_environment_or_argument(running: Running, user: str) -> None:
    """S."""
    secrets = [file.read_text(encoding="utf-8") for file in (running.stack.folder / "credentials").iterdir()]
    told = [
        " ".join([*one.cmdline(), *one.environ().values()])
        for one in running.supervisord.family()
        if one.status() != psutil.STATUS_ZOMBIE
    ]

    assert told
    assert not [secret for secret in secrets for text in told if secret in text]


def test_every_stopped_daemon_is_killed_and_back(running: Running, user: str) -> None:
    """D1: alive and doing nothing is not enough."""
    before = running.pids(*DAEMONS)

    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)

    def are_back() -> bool:
        return running.are_running(*DAEMONS) and not set(running.pids(*DAEMONS).values()) & set(before.values())

    assert eventually(are_back, within=5 * PERIOD), running.log("concord-watchdog")
    assert running.log("concord-watchdog").count("watchdog.killed") == len(DAEMONS)
    assert running.becomes_an_event(user, "After the watchdog")


def test_the_group_stops_warmly_and_starts_and_the_admin_stays(running: Running, user: str) -> None:
    """W2, M2."""
    admin = running.supervisord.pid("concord-admin")
    workers = [psutil.Process(pid) for pid in running.pids("concord-worker-poll", "concord-worker-mail").values()]
    family = [one for worker in workers for one in [worker, *worker.children(recursive=True)]]

    running.supervisord.call("stopProcessGroup", "concord")

    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert {running.supervisord.info(name)["statename"] for name in SET} == {"STOPPED"}
    assert {running.supervisord.info(name)["exitstatus"] for name in SET} == {0}
    assert running.supervisord.pid("concord-admin") == admin
    running.supervisord.call("startProcessGroup", "concord")
    assert running.becomes_an_event(user, "After a stop")


def test_a_further_worker_comes_and_goes_and_no_other_is_touched(running: Running, user: str) -> None:
    """M6."""
    before = running.pids(*DAEMONS)
    programs = running.stack.folder / "workers.conf"
    file = running.stack.folder / "workers" / "extra.json"
    file.write_text(json.dumps({"type": "mail", "concurrency": 1}), encoding="utf-8")
    supervisor = SupervisordSupervisor(running.supervisord.run, programs_file=programs)

    supervisor.adopt(["poll", "mail", "deliver", "extra"])

    assert eventually(lambda: "extra@" in running.log("celery-worker")), running.log("celery-worker")
    supervisor.adopt(["poll", "mail", "deliver"])
    assert "concord-worker-extra" not in {one["name"] for one in running.supervisord.call("getAllProcessInfo")}
    assert running.pids(*DAEMONS) == before


def test_turned_logs_lose_no_line_and_break_none(running: Running, user: str) -> None:
    """D4: as logrotate does it: move, then SIGUSR2."""
    assert running.supervisord.process is not None
    logs = running.stack.logs
    running.dovecot.append_many(user, [mail(f"Turned {number}") for number in range(60)])

    for turn in range(3):
        seen = len(running.events())
        for log in logs.glob("*.log"):
            log.rename(log.with_suffix(f".log.{turn}"))
        running.supervisord.process.send_signal(signal.SIGUSR2)
        assert eventually((logs / "celery-worker.log").exists)
        eventually(lambda seen=seen: len(running.events()) > seen, within=10)  # type: ignore[misc]

    assert eventually(lambda: len([one for one in running.events() if one.startswith("Turned")]) == 60, within=60)
    lines = [line for log in logs.glob("celery-worker.log*") for line in log.read_text(encoding="utf-8").splitlines()]
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert not [line for line in lines if "}{" in line]
    assert [one for one in records if one.get("event") == "worker.ready" or "ready" in str(one.get("event"))]


def test_the_key_is_rotated_while_mail_and_signed_webhooks_flow(
    running: Running, user: str, receiver: WebhookReceiver
) -> None:
    """A3; issue 9, B: nothing fails, and no daemon is restarted."""
    before = running.pids(*DAEMONS)

    with Flow(running.stack, running.dovecot, user, receiver) as flow:
        assert flow.brings(3), running.log("celery-worker")[-3000:]
        running.stack.cli("secrets", "rotate")
        assert flow.brings(3), running.log("celery-worker")[-3000:]

    flow.assert_nothing_failed()
    assert running.pids(*DAEMONS) == before


def test_supervisord_told_to_end_ends_warmly_and_loses_nothing(running: Running, user: str) -> None:
    """D2: in the middle of work; what was not done is done after the next start, once."""
    running.dovecot.append_many(user, [mail(f"Interrupted {number}") for number in range(120)])

    def interrupted() -> list[str]:
        return [one for one in running.events() if one.startswith("Interrupted")]

    assert eventually(lambda: len(interrupted()) > 0, within=60), running.log("celery-worker")
    family = running.supervisord.family()

    took = running.supervisord.stop()

    assert took < 45, running.log("celery-worker")[-20_000:]
    assert not [one for one in family if one.is_running()]
    assert list(running.supervisord.run.glob("*.sock")) == []
    with running.supervisord:
        assert eventually(lambda: len(interrupted()) == 120, within=90), running.log("celery-worker")[-3000:]
        assert len(set(interrupted())) == 120
        assert running.stack.count(MessageState.QUARANTINED) == 0
