"""Concord keeps its own numbers and compares itself with the servers, with every daemon running (U4, O7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import folders
from concord.adapters.task_names import MAIL_QUEUE, RECORD_NUMBERS
from concord.model.message import MessageState
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.waiting import eventually


@pytest.fixture
def stack(tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    """One that looks often."""
    with Stack(tmp_path, redis_url=own_redis.url, upkeep={"reconcile_interval": 2}) as running:
        yield running


def test_daemons_find_a_gap_and_record_what_they_did(stack: Stack, mailbox: str, dovecot: Dovecot) -> None:
    account = stack.concord.accounts.get(mailbox)
    stack.start("beat", "poll", "mail", "deliver")
    dovecot.deliver(mailbox, mail("Taken"))
    assert eventually(lambda: stack.count(MessageState.PROCESSED) == 1, within=60), stack.log("poll")
    stack.stop("poll")
    missed = dovecot.deliver(mailbox, mail("Missed"))
    with transaction(stack.concord.engine) as connection:
        connection.execute(update(folders).values(last_uid=missed))

    stack.start("poll")

    status = stack.concord.accounts.status
    assert eventually(lambda: bool(status(account.id).unaccounted), within=90), stack.log("poll")
    assert eventually(lambda: stack.count(MessageState.UNFETCHED) == 1, within=30), stack.log("poll")
    numbers = stack.concord.numbers
    stack.concord.queue.send_task(RECORD_NUMBERS, queue=MAIL_QUEUE)
    assert eventually(lambda: numbers.last() is not None, within=30), stack.log("mail")
    found = numbers.latest(["queue.email", "redis.used", "account.ok"]).values
    assert found["account.ok"] == 1
    assert found["redis.used"] > 0
    assert "queue.email" in found
