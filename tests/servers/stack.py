"""A whole Concord on private servers: settings, key, database, archive, and the daemons as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from cryptography.fernet import Fernet

from concord.adapters.sql import schema
from concord.bootstrap import Concord
from concord.model.account import Account, StartKind, StartPoint, Tls
from concord.model.message import Message, MessageState
from concord.ports import MessageFilter
from concord.settings import load
from tests.factories import sealed_in

# Short enough for a test to see a lapse, long enough for a busy machine.
QUICK: Mapping[str, Any] = {
    "poll": {"interval": 2, "budget": 10},
    "process": {"soft_time_limit": 4, "time_limit": 6, "retry_base": 1, "retry_max": 2},
    "dispatch": {"retry_base": 1, "retry_max": 2},
    "webhook": {"connect_timeout": 2, "timeout": 3},
    "upkeep": {"sweep_interval": 1, "requeue_after": 5, "sync_interval": 2},
    "beat": {"max_loop_interval": 1, "lock_timeout": 5},
    "worker": {"soft_shutdown_timeout": 5, "poll": {"concurrency": 8}, "mail": {"concurrency": 2}},
}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both trees; where they differ, the second."""
    result = dict(base)
    for name, value in over.items():
        mine = result.get(name)
        result[name] = merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return result


class Stack:
    """Used as a context manager; `start` daemons one by one, `kill` them as a power cut would."""

    def __init__(
        self,
        folder: Path,
        *,
        redis_url: str,
        database_url: str | None = None,
        credentials: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self._credentials = {
            "secret_key": Fernet.generate_key().decode(),
            "redis__url": redis_url,
            "database__url": database_url or f"sqlite:///{folder / 'concord.db'}",
            **(credentials or {}),
        }
        self._settings = settings
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        credentials = self.folder / "credentials"
        credentials.mkdir(mode=0o700)
        self.logs.mkdir()
        for name, secret in self._credentials.items():
            _write_secret(credentials / name, secret)
        own = {
            "archive": {"path": str(self.folder / "archive")},
            "poll": {"spool_directory": str(self.folder / "spool")},
            "log": {"level": "info"},
        }
        tree = merged(merged(own, QUICK), self._settings)
        (self.folder / "concord.toml").write_text("\n".join(_toml(tree)), encoding="utf-8")
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONCORD_")},
            "CONCORD_CONFIG": str(self.folder / "concord.toml"),
            "CONCORD_CREDENTIALS": str(credentials),
        }
        with patch.dict(os.environ, self.env, clear=True):
            self.concord = Concord(load())
        schema.upgrade(self.concord.engine)
        return self

    def __exit__(self, *_exception: object) -> None:
        for name in list(self._daemons):
            self.stop(name)
        self.concord.sources.close()
        self.concord.engine.dispose()

    # Daemons.

    def start(self, *names: str) -> None:
        """Start beat, poll, mail, deliver, flower or admin, as the package's units do."""
        commands = {
            "beat": ["beat", "run"],
            "poll": ["worker", "run", "poll"],
            "mail": ["worker", "run", "mail"],
            "deliver": ["worker", "run", "deliver"],
            "flower": ["flower", "run"],
            "admin": ["admin", "run"],
        }
        for name in names:
            self.spawn(name, [sys.executable, "-m", "concord", *commands[name]])

    def spawn(self, name: str, command: list[str]) -> None:
        """Start a daemon by any command line; its log goes to logs/NAME.log."""
        with (self.logs / f"{name}.log").open("ab") as log:
            # A session of its own: a killed daemon takes its pool children with it, as in a power cut.
            self._daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env, start_new_session=True
            )

    def is_running(self, name: str) -> bool:
        """Whether the daemon's main process lives."""
        return self._daemons[name].poll() is None

    def pid(self, name: str) -> int:
        """The daemon's main process."""
        return self._daemons[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL to the daemon and all its children."""
        daemon = self._daemons.pop(name)
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait(timeout=30)

    def stop(self, name: str) -> None:
        """A warm shutdown; killed if it does not end."""
        daemon = self._daemons.get(name)
        if daemon is None:
            return
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(timeout=90)
            del self._daemons[name]
        except subprocess.TimeoutExpired:
            self.kill(name)

    def log(self, name: str) -> str:
        """All that a daemon said so far."""
        path = self.logs / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # A person at the shell.

    def cli(
        self, *arguments: str, stdin: str = "", check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `concord …` as an operator does, with these variables in the environment besides."""
        done = subprocess.run(
            [sys.executable, "-m", "concord", *arguments],
            input=stdin,
            env=self.env | variables,
            capture_output=True,
            text=True,
            timeout=360,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    # What the tests ask.

    def add_account(self, name: str, *, port: int, user: str, password: str, **changes: Any) -> Account:
        """An account on a local server, everything from the start, without TLS unless said otherwise."""
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "tls": Tls.NONE,
            "start": StartPoint(kind=StartKind.ALL),
            **changes,
        }
        account = Account(name=name, port=port, user=user, **fields)
        return self.concord.accounts.add(sealed_in(self.concord.vault, account, password))

    def messages(self, state: MessageState | None = None) -> list[Message]:
        """The ledger, newest first."""
        return self.concord.ledger.search(MessageFilter(state=state, limit=10_000))

    def count(self, state: MessageState) -> int:
        """How many messages stand at `state`."""
        return sum(counts.get(state, 0) for counts in self.concord.ledger.counts().values())


def _toml(tree: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A settings tree as TOML. Scalars and lists are written alike in JSON."""
    if path:
        yield f"[{path}]"
    for name, value in tree.items():
        if not isinstance(value, Mapping):
            yield f"{name} = {json.dumps(value)}"
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _toml(value, f"{path}.{name}" if path else name)


def _write_secret(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
