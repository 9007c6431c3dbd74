"""The journal's native protocol over a real socket, from real processes (D4)."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.journald import Journald

# A daemon's logging, its journal elsewhere than systemd's.
BEGIN = """
import structlog, sys
from concord.log import configure, journal
journal.ADDRESS = sys.argv[1]
configure("json", "info")
log = structlog.get_logger("concord.poll")
"""


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    with Journald(tmp_path) as journald:
        yield journald


@contextmanager
def standard_error(*, is_the_journals: bool = True) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
    """Our end of it, and how to start a daemon with the other end, as systemd does."""
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    stream = f"{status.st_dev}:{status.st_ino if is_the_journals else status.st_ino + 1}"
    with ours, theirs:
        yield ours, {"stderr": theirs, "env": {**os.environ, "JOURNAL_STREAM": stream}, "text": True}


def run(script: str, journald: Journald, *, is_the_journals: bool = True) -> str:
    """Run it to its end; what it wrote to standard error."""
    with standard_error(is_the_journals=is_the_journals) as (ours, options):
        subprocess.run([sys.executable, "-c", BEGIN + script, str(journald.path)], timeout=60, check=True, **options)
        options["stderr"].close()
        return b"".join(iter(lambda: ours.recv(65536), b"")).decode()


def test_journal_gets_fields_and_standard_error_nothing(journald: Journald) -> None:
    told = run('log.warning("poll.failed", account="office", folders=["INBOX", "Sent"])', journald)

    entry = journald.entry()
    one = dict(entry)
    assert json.loads(one["MESSAGE"])["account"] == "office"
    assert (one["PRIORITY"], one["CONCORD_EVENT"], one["CONCORD_ACCOUNT"]) == ("4", "poll.failed", "office")
    assert [value for name, value in entry if name == "CONCORD_FOLDERS"] == ["INBOX", "Sent"]
    assert told == ""


def test_standard_error_that_leads_elsewhere_is_used_itself(journald: Journald) -> None:
    """systemd.exec(5): a child may have been given another standard error; the variable is inherited all the same."""
    told = run('log.info("poll.done")', journald, is_the_journals=False)

    assert json.loads(told)["event"] == "poll.done"


def test_strangers_text_forges_no_field(journald: Journald) -> None:
    run(r'log.info("event.received", subject="x\nPRIORITY=0\nMESSAGE=forged\udc80\x00")', journald)

    entry = journald.entry()
    assert [value for name, value in entry if name == "PRIORITY"] == ["6"]
    assert [json.loads(value)["event"] for name, value in entry if name == "MESSAGE"] == ["event.received"]
    assert dict(entry)["CONCORD_SUBJECT"] == "x\nPRIORITY=0\nMESSAGE=forged\\udc80\0"


def test_entry_too_big_for_a_datagram_comes_as_a_sealed_file(journald: Journald) -> None:
    run('log.info("poll.done", detail="x" * 5_000_000)', journald)

    told = journald.fields()
    assert len(told["CONCORD_DETAIL"]) == 5_000_000
    assert journald.seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def test_forked_pool_processes_write_too(journald: Journald) -> None:
    script = """
from billiard import Process
def work(number): log.info("child.said", number=number)
children = [Process(target=work, args=(number,)) for number in range(3)]
for child in children: child.start()
for child in children: child.join()
log.info("parent.said")
"""
    run(script, journald)

    told = [journald.fields() for _ in range(4)]
    assert sorted(one.get("CONCORD_NUMBER", "parent") for one in told) == ["0", "1", "2", "parent"]


def test_standard_error_stands_in_for_a_journal_that_is_gone(journald: Journald) -> None:
    told = run('import os; os.unlink(sys.argv[1]); log.info("poll.done")', journald)

    assert json.loads(told)["event"] == "poll.done"


def test_full_journal_holds_nobody_up_and_what_was_lost_is_told(journald: Journald) -> None:
    """A stuck journald must not stop the mail: one second in all, then lines are dropped and counted."""
    script = """
import time
from pathlib import Path
begun = time.monotonic()
for number in range(5000): log.info("poll.done", number=number)
print(time.monotonic() - begun, flush=True)
sys.stdin.readline()
log.info("poll.again")
"""
    command = [sys.executable, "-c", BEGIN + script, str(journald.path)]
    with (
        standard_error() as (_, options),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as daemon,
    ):
        assert daemon.stdout
        assert daemon.stdin
        seconds = float(daemon.stdout.readline())
        kept = journald.drain()
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        last = [journald.fields(), journald.fields()]

    assert seconds < 6
    assert [one["CONCORD_EVENT"] for one in last] == ["poll.again", "log.lost"]
    assert kept + int(last[1]["CONCORD_COUNT"]) == 5000
    assert kept > 0
