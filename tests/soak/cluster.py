"""Real daemons under supervisord, from the files that the package installs, on private servers that can be broken."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from concord.adapters.supervisord_programs import write_programs
from concord.model.rule import HandlerSpec
from concord.model.worker import BUILT_IN
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.servers.supervisord import Supervisord
from tests.soak.receivers import Receivers
from tests.waiting import eventually

Kind = Literal["sqlite", "postgresql"]

SHIPPED: Final = Path(__file__).parents[2] / "deploy/supervisor"
SHIM: Final = Path(__file__).with_name("clock_shim.c")
DISK: Final = "2g"
# Two minutes of silence: a daemon that a fault has stopped for half a minute is not replaced for that.
WATCHDOG_SECONDS: Final = 120
# Every lapse, back-off and pause of a production day within seconds.
SETTINGS: Final[dict[str, Any]] = {
    "database": {"busy_timeout": 5},
    "redis": {"socket_timeout": 5, "connect_timeout": 3, "health_check_interval": 5},
    "poll": {
        "interval": 5,
        "budget": 20,
        "timeout": 5,
        "connect_timeout": 3,
        "backoff_base": 1,
        "backoff_max": 5,
        "recheck": 20,
    },
    "process": {"soft_time_limit": 20, "time_limit": 30, "retry_base": 1, "retry_max": 5},
    "dispatch": {
        "default_handlers": ["log", "steady", "shaky"],
        "retry_base": 1,
        "retry_max": 5,
        "max_attempts": 50,
    },
    "webhook": {"connect_timeout": 2, "timeout": 3, "allow_networks": ["127.0.0.0/8"]},
    "upkeep": {"sweep_interval": 3, "requeue_after": 15, "sync_interval": 5, "reconcile_interval": 30},
    "beat": {"max_loop_interval": 1, "lock_timeout": 10},
    "worker": {
        "soft_shutdown_timeout": 5,
        "canary_interval": 10,
        "poll": {"concurrency": 16},
        "mail": {"concurrency": 2},
    },
}


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One account, and the user of the mail server behind it."""

    name: str
    user: str


class Cluster:
    """All of it, running. A context manager."""

    def __init__(self, folder: Path, *, database: Kind, mailboxes: int, seed: int) -> None:
        self.folder = folder
        self.database: Kind = database
        self._count = mailboxes
        self._seed = seed
        self._open = ExitStack()
        self.postgres: PostgresServer | None = None
        self.mailboxes: list[Mailbox] = []

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._start(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._open.close()

    def _start(self, opening: ExitStack) -> None:
        self.redis = opening.enter_context(RedisServer())
        self.dovecot = opening.enter_context(Dovecot())
        self.receivers = opening.enter_context(Receivers(self._seed))
        url = None
        if self.database == "postgresql":
            self.postgres = opening.enter_context(PostgresServer())
            url = self.postgres.url(self.postgres.create())
        run = self.folder / "run"
        own: dict[str, Any] = {
            "service": {"supervisor": "supervisord", "run_directory": str(run)},
            "flower": {"port": free_port()},
            "admin": {"port": free_port()},
        }
        own["archive"] = {"path": str(self.archive)}
        stack = Stack(self.folder, redis_url=self.redis.url, database_url=url, **SETTINGS | own)
        self.archive_top.mkdir()
        self.archive_is_mounted = self._mount(opening)
        self.archive.mkdir(exist_ok=True)
        self.stack = opening.enter_context(stack)
        # Before anything breaks: an archive that is used for the first time gets its marker, wherever it lies.
        self.stack.concord.archive.require()
        run.mkdir()
        self._add_accounts()
        self._add_receivers()
        config = self._write_programs()
        self.set = opening.enter_context(Supervisord(config, run, self.stack.env | self._clocks()))

    def _add_accounts(self) -> None:
        for number in range(self._count):
            user = self.dovecot.add_user(f"soak{number:03}")
            password = self.dovecot.passwords[user]
            self.stack.add_account(f"box{number:03}", port=self.dovecot.imap_port, user=user, password=password)
            self.mailboxes.append(Mailbox(name=f"box{number:03}", user=user))
            for part in ("tmp", "new", "cur"):
                self.inbox(user, part).mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                top = self.inbox(user, "new").parents[1]
                for path in (top, *top.rglob("*")):
                    shutil.chown(path, "mail", "mail")

    def inbox(self, user: str, part: str) -> Path:
        """A folder of the user's maildir."""
        return self.dovecot.folder / "mail" / user / "inbox" / part

    def _add_receivers(self) -> None:
        concord = self.stack.concord
        for name in ("steady", "shaky"):
            options = {"url": self.receivers.url(f"/{name}")}
            concord.rulebook.save_handler(HandlerSpec(name=name, kind="webhook", options=options))

    def _write_programs(self) -> Path:
        (self.folder / "workers").mkdir()
        (self.folder / "supervisor.d").mkdir()
        write_programs(list(BUILT_IN), self.folder / "workers.conf")
        config = self.folder / "supervisord.conf"
        for source, target in (
            ("supervisord.conf", config),
            ("concord.conf", self.folder / "supervisor.d/concord.conf"),
        ):
            target.write_text(self._moved((SHIPPED / source).read_text(encoding="utf-8")), encoding="utf-8")
        return config

    def _moved(self, text: str) -> str:
        changes = {
            "/usr/lib/concord/bin": str(Path(sys.executable).parent),
            "/var/lib/concord": str(self.folder),
            "/var/log/concord": str(self.folder / "logs"),
            "/run/concord": str(self.folder / "run"),
            "user=concord": f"user={getpass.getuser()}",
            'WATCHDOG_USEC="60000000"': f'WATCHDOG_USEC="{WATCHDOG_SECONDS}000000"',
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    # What faults reach for.

    @property
    def archive_top(self) -> Path:
        """Where the archive's disk is mounted, if this machine lets us mount one."""
        return self.folder / "disk"

    @property
    def archive(self) -> Path:
        return self.archive_top / "archive"

    def _mount(self, opening: ExitStack) -> bool:
        """A disk of memory, which can become read-only or full."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "concord-soak", str(self.archive_top)]
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        if mounted:
            opening.callback(subprocess.run, ["umount", "-l", str(self.archive_top)], check=False)
        return mounted

    @contextmanager
    def archive_unmounted(self) -> Iterator[None]:
        """An empty directory is where the archive was."""
        away = self.archive_top / "away"
        self.archive.rename(away)
        self.archive.mkdir()
        try:
            yield
        finally:
            # A write that had begun before may leave something here; it is hidden again, as under a mount.
            self.archive.rename(Path(tempfile.mkdtemp(prefix="hidden-", dir=self.archive_top), "archive"))
            away.rename(self.archive)

    @property
    def clocks(self) -> Path:
        """A file here moves the clock of the program of that name."""
        return self.folder / "clocks"

    def programs(self) -> list[str]:
        """The daemons that carry mail."""
        return ["concord-beat", *(f"concord-worker-{name}" for name in BUILT_IN)]

    def down(self) -> int:
        """How many daemons do not run, half a minute after being asked at the latest."""
        eventually(lambda: not self._down(), within=30)
        return len(self._down())

    def _down(self) -> list[str]:
        known: list[dict[str, Any]] = self.set.call("getAllProcessInfo")
        return [one["name"] for one in known if one["statename"] != "RUNNING" and one["name"] != "concord-migrate"]

    def _clocks(self) -> dict[str, str]:
        self.clocks.mkdir()
        compiler = shutil.which("cc")
        if compiler is None:
            return {}
        library = self.folder / "clock_shim.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SHIM), "-ldl"], check=True)
        return {"LD_PRELOAD": str(library), "SOAK_CLOCKS": str(self.clocks)}

    @property
    def can_move_clocks(self) -> bool:
        return (self.folder / "clock_shim.so").exists()
