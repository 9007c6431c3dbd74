"""The command over a Concord in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.model.account import Account, StartKind, StartPoint
from tests.factories import mail
from tests.fakes.command import Command, MemoryConcord
from tests.polling import poll_whole


@pytest.fixture
def concord(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[MemoryConcord]:
    monkeypatch.setenv("CONCORD_CREDENTIALS", str(tmp_path))
    made = MemoryConcord()
    yield made
    made.engine.dispose()


@pytest.fixture
def run(concord: MemoryConcord) -> Command:
    return Command(lambda: concord)


@pytest.fixture
def sales(concord: MemoryConcord) -> Account:
    """An account with a mailbox behind it."""
    concord.mailboxes.add_user("alice")
    account = Account(
        name="sales",
        host="mail.example.com",
        user="alice",
        secret=concord.vault.seal("sesame"),
        start=StartPoint(kind=StartKind.ALL),
    )
    return concord.accounts.add(account)


@pytest.fixture
def processed(concord: MemoryConcord, sales: Account) -> list[int]:
    """Three processed messages' numbers, the oldest first."""
    for number in range(3):
        concord.mailboxes.deliver("alice", mail(f"Order {number}"))
    poll_whole(concord, sales.id)
    ids = [ref.id for ref in concord.memory_queue.messages]
    concord.processor.process(ids)
    concord.memory_queue.clear()
    return ids
