"""A machine with Concord on it, as its administrator meets it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from tests.package.machine import Machine
from tests.package.trees import PASSWORD

TARGET: Final = "concord-celery.target"
WORKERS: Final = ("concord-worker@poll.service", "concord-worker@mail.service", "concord-worker@deliver.service")
MEMBERS: Final = ("concord-beat.service", *WORKERS, "concord-flower.service")
ADMIN: Final = "concord-admin.service"
MIGRATE: Final = "concord-migrate.service"
SETTLE: Final = "concord-workers.service"
DAEMONS: Final = (*MEMBERS, ADMIN)
DATABASE: Final = "/var/lib/concord/concord.db"
PYTHON: Final = "/usr/lib/concord/current/bin/python3"
MAIL: Final = """\
From: Alice <alice@example.com>\r
To: {user}@example.com\r
Subject: {subject}\r
Message-ID: <{subject}@example.com>\r
Date: Wed, 25 Nov 2026 10:00:00 +0000\r
\r
Mail {subject}.\r
"""
_QUERY: Final = """\
import json, sqlite3, sys
base = sqlite3.connect(sys.argv[1], timeout=30)
print(json.dumps(base.execute(sys.argv[2]).fetchall()))
"""


class Host:
    """Delivers mail, asks what became of it, and moves the daemons."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.delivered: list[str] = []
        self._numbers = 0

    # The daemons.

    def wait_until_up(self, units: Sequence[str] = DAEMONS, within: float = 60) -> float:
        """Until systemd calls all of them active; the seconds it took."""
        return self.machine.wait_until(lambda: all(self.active(units)), within=within, why=f"{units} are active")

    def active(self, units: Sequence[str]) -> list[bool]:
        """Of each, whether systemd calls it active."""
        said = self.machine.run(["systemctl", "is-active", *units], check=False).stdout.split()
        return [word == "active" for word in said]

    def restarts(self) -> dict[str, int]:
        """How often systemd itself has started each daemon anew."""
        return self._numbers_of("NRestarts", DAEMONS)

    def main_pids(self, units: Sequence[str] = DAEMONS) -> dict[str, int]:
        """Each daemon's main process, by its number inside."""
        return self._numbers_of("MainPID", units)

    def _numbers_of(self, name: str, units: Sequence[str]) -> dict[str, int]:
        said = self.machine.output(["systemctl", "show", f"--property={name}", "--value", *units])
        return dict(zip(units, map(int, said.split()), strict=True))

    def processes(self) -> list[str]:
        """The command lines of all that runs as the user concord."""
        return self.machine.run("ps -u concord -o pid=,args=", check=False).stdout.splitlines()

    # Mail.

    def add_account(self, name: str, *, interval: int = 2) -> None:
        """A mailbox on the machine's own Dovecot, everything from the start."""
        words = ["concord", "account", "add", name, "--host=127.0.0.1", "--tls=none", f"--user={name}"]
        self.machine.run([*words, "--start=all", f"--interval={interval}", "--password-stdin"], stdin=f"{PASSWORD}\n")

    def deliver(self, user: str, count: int = 1) -> list[str]:
        """So many mails more; the subject of each is its own."""
        subjects = []
        for _ in range(count):
            self._numbers += 1
            subject = f"probe-{user}-{self._numbers:06}"
            self.machine.deliver(user, MAIL.format(user=user, subject=subject).encode(), f"{self._numbers}.probe")
            subjects.append(subject)
        self.delivered += subjects
        return subjects

    @contextmanager
    def flow(self, user: str, *, every: float = 0.2) -> Iterator[None]:
        """Mail keeps coming while the block runs."""
        over = threading.Event()

        def pour() -> None:
            while not over.wait(every):
                self.deliver(user)

        thread = threading.Thread(target=pour)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def query(self, sql: str) -> list[list[Any]]:
        """Rows of the database, asked for as the user concord."""
        done = self.machine.run(["python3", "-c", _QUERY, DATABASE, sql], user="concord")
        rows: list[list[Any]] = json.loads(done.stdout)
        return rows

    def events(self) -> Counter[str]:
        """How many events there are of each subject."""
        return Counter(row[0] for row in self.query("SELECT subject FROM events"))

    def missing(self) -> list[str]:
        """Subjects of mails that are no events yet."""
        known = self.events()
        return [subject for subject in self.delivered if not known[subject]]

    def wait_for_events(self, within: float = 60) -> float:
        """Until each mail delivered so far has become exactly one event; the seconds it took."""
        took = self.machine.wait_until(
            lambda: not self.missing(), within=within, why="all mail has become events", every=1
        )
        doubled = {subject: count for subject, count in self.events().items() if count > 1}
        assert not doubled
        return took

    def longest_pause(self, user: str, *, since: float = 0) -> float:
        """Seconds, at most, between two events of an account made after a time (Unix), by when they were made."""
        rows = self.query(f"SELECT created_at FROM events WHERE account = '{user}' ORDER BY created_at")  # noqa: S608
        made = [datetime.fromisoformat(str(row[0])).replace(tzinfo=UTC) for row in rows]
        times = [at for at in made if at.timestamp() >= since]
        return max((later - sooner).total_seconds() for sooner, later in itertools.pairwise(times))

    # What it costs.

    def memory(self, unit: str) -> int:
        """Octets of a unit's processes, shared ones counted in part (PSS)."""
        files = " ".join(f"/proc/{pid}/smaps_rollup" for pid in self.machine.pids(unit))
        return 1024 * int(self.machine.output(f"cat {files} | awk '/^Pss:/ {{ sum += $2 }} END {{ print sum }}'"))


def sleep_through(seconds: float, why: str) -> None:
    """Let time pass, where the passing of time is what is being tried (`why` says so to the reader)."""
    del why
    time.sleep(seconds)
