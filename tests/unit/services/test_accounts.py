"""Mailboxes as operators handle them from pages and programs."""

from __future__ import annotations

import pytest

from concord.errors import NotFoundError, QueueDownError
from concord.model.account import Account
from concord.model.caller import Caller
from concord.services import accounts
from tests.fakes.command import MemoryConcord

BY = Caller(actor="olga", via="admin", address="127.0.0.1")


@pytest.fixture
def parts() -> MemoryConcord:
    """One account is there: bob."""
    made = MemoryConcord()
    made.accounts.add(Account(name="bob", host="mail.example.org", user="bob", secret=made.vault.seal("sesame")))
    return made


def test_a_poll_that_is_asked_for_is_queued_and_written_down(parts: MemoryConcord) -> None:
    accounts.poll_soon(parts, "bob", by=BY)

    assert parts.memory_queue.forced == [parts.accounts.get("bob").id]
    (entry,) = parts.audit.entries()
    assert (entry.action, entry.subject, entry.outcome, entry.detail) == ("account.poll", "bob", "done", "queued")


def test_without_redis_a_poll_is_refused_in_words(parts: MemoryConcord) -> None:
    parts.memory_queue.down = True

    with pytest.raises(QueueDownError):
        accounts.poll_soon(parts, "bob", by=BY)

    assert parts.audit.entries()[0].outcome == "failed"


def test_what_is_not_there_is_not_polled(parts: MemoryConcord) -> None:
    with pytest.raises(NotFoundError):
        accounts.poll_soon(parts, "eve", by=BY)

    assert parts.memory_queue.polls == []


def test_a_form_shows_each_mistake_once(parts: MemoryConcord) -> None:
    _, mistakes = accounts.read_form({"name": "", "host": "a b", "user": "x", "port": "many"})

    assert [mistake.path for mistake in mistakes] == [("port",), ("name",), ("host",)]
