"""The daemons as `concord … run` starts them: from the settings, in one process, ended by signals (W8, A3)."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.servers.stack import Stack
from tests.waiting import eventually

RUN = [sys.executable, "-m", "concord"]


def test_options_for_celery_follow_two_dashes(stack: Stack) -> None:
    stack.spawn("mail", [*RUN, "worker", "run", "mail", "--", "--concurrency=1", "--hostname=other@%h"])

    assert eventually(lambda: "other@" in stack.log("mail") and "ready" in stack.log("mail"), within=30), stack.log(
        "mail"
    )
    children = psutil.Process(stack.pid("mail")).children(recursive=True)
    assert len([child for child in children if child.status() != psutil.STATUS_ZOMBIE]) == 1


@pytest.mark.parametrize("command", [("worker", "run", "poll"), ("worker", "run", "mail")])
def test_worker_refuses_another_databases_key(stack: Stack, command: tuple[str, ...]) -> None:
    """A3. Beat opens nothing: it has no key to refuse."""
    stack.cli("secrets", "check")
    key = stack.folder / "credentials" / "secret_key"
    key.unlink()
    stack.cli("secrets", "init")

    refused = stack.cli(*command, check=False)

    assert refused.returncode == 2
    assert "The key does not open this database's secrets" in refused.stderr
    assert "What to do: Put back the key" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("name", "which"), [("mail", signal.SIGTERM), ("poll", signal.SIGTERM), ("beat", signal.SIGTERM)]
)
def test_signal_ends_a_daemon_in_order(stack: Stack, name: str, which: signal.Signals) -> None:
    stack.start(name)
    word = {"mail": "ready", "poll": "ready", "beat": "beat"}[name]
    assert eventually(lambda: word in stack.log(name), within=30), stack.log(name)
    process = psutil.Process(stack.pid(name))
    family = [process, *process.children(recursive=True)]

    process.send_signal(which)

    assert eventually(lambda: not stack.is_running(name), within=20), stack.log(name)
    assert not [one for one in family[1:] if one.is_running()]
    assert "Traceback" not in stack.log(name)


def test_no_argument_of_a_daemon_is_a_secret(stack: Stack) -> None:
    """A3: the command line says only which daemon it is."""
    stack.start("mail")
    assert eventually(lambda: "ready" in stack.log("mail"), within=30), stack.log("mail")

    arguments = psutil.Process(stack.pid("mail")).cmdline()

    assert arguments[-3:] == ["worker", "run", "mail"]
    assert Path(arguments[0]).name.startswith("python")
