"""Reading the journal never fails: what cannot be read is told in a line."""

from __future__ import annotations

import json
import sys
import time

import pytest

from concord.adapters import systemd_journal
from concord.adapters.systemd_journal import SystemdJournal


def journal_of(*messages: object) -> SystemdJournal:
    """A journalctl that has these entries, whatever it is asked for."""
    text = "".join(json.dumps({"MESSAGE": message}) + "\n" for message in messages)
    return SystemdJournal([sys.executable, "-c", f"print({text!r}, end='')"])


def test_each_form_of_a_message_becomes_a_line() -> None:
    """Octets that are no text come as numbers, fields that were there twice as a list, huge ones as null."""
    journal = journal_of("plain", [104, 105, 255], ["first", "second"], None, '{"event": "daemon.ready"}')

    assert journal.tail("concord-beat.service", 5) == ["plain", "hi\ufffd", "first", "", "daemon.ready"]


def test_missing_journalctl_is_told_not_raised() -> None:
    [line] = SystemdJournal(["/nowhere/journalctl"]).tail("concord-beat.service", 5)

    assert line.startswith("(the journal cannot be read: ")


def test_refusing_journalctl_is_told_with_its_own_words() -> None:
    journal = SystemdJournal([sys.executable, "-c", "import sys; sys.exit('no such file')"])

    assert journal.tail("concord-beat.service", 5) == ["(the journal cannot be read: no such file)"]


def test_journalctl_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_journal, "SECONDS", 0.2)
    journal = SystemdJournal([sys.executable, "-c", "import time; time.sleep(60)"])
    began = time.monotonic()

    [line] = journal.tail("concord-beat.service", 5)

    assert "timed out" in line
    assert time.monotonic() - began < 10


def test_last_words_are_waited_for_only_until_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_journal, "_PATIENCE", 60)
    began = time.monotonic()

    words = journal_of("no such luck").last_words("concord-beat.service", 5, since=0.0)

    assert words == ["no such luck"]
    assert time.monotonic() - began < 30
