"""Whose fault a dead worker is: real workers, killed in the parser, in a call to the archive, and from outside."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from concord.model.account import Account, FolderCursor
from concord.model.message import Message, MessageRef, MessageState, SeenMail
from concord.ports import Blob
from tests.factories import mail
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
NODE = "mail@deadly"
_uids = count(1)


class Deadly:
    """A stack whose mail worker is the deadly app's."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.alive = stack.folder / "alive"
        self.alive.touch()
        self.account = stack.concord.accounts.add(Account(name="bob", host="127.0.0.1", user="bob", secret=b""))

    def start(self) -> None:
        """The worker, by hand, two processes."""
        celery = [sys.executable, "-m", "celery", "-A", "tests.servers.deadly_app"]
        worker = ["worker", "-Q", "email", "-c", "2", "-n", NODE, "--without-gossip", "--without-mingle"]
        env = ["env", f"DEADLY={self.alive}", f"PYTHONPATH={ROOT}"]
        self.stack.spawn("mail", [*env, *celery, *worker])

    def record(self, *subjects: str) -> list[MessageRef]:
        """Mails that are safe in the archive and wait."""
        concord = self.stack.concord
        mails = []
        for subject in subjects:
            raw = mail(subject)
            digest = hashlib.sha256(raw).hexdigest()
            key = f"raw/{digest}.eml"
            concord.archive.put([Blob(key=key, sha256=digest, size=len(raw), content=raw)])
            mails.append(
                SeenMail(uid=next(_uids), state=MessageState.ARCHIVED, sha256=digest, size=len(raw), archive_key=key)
            )
        now = datetime.now(UTC)
        lease = concord.accounts.lease(self.account.id, until=now + timedelta(minutes=5))
        assert lease is not None
        cursor = FolderCursor(
            account_id=self.account.id, folder="INBOX", uidvalidity=1, last_uid=mails[-1].uid, begun_at=now
        )
        refs = concord.ledger.record(lease, cursor, mails)
        concord.accounts.release(lease)
        assert refs is not None
        return refs

    def message(self, ref: MessageRef) -> Message:
        """As it stands, once the sweep has looked."""
        self.stack.concord.sweeper.sweep()
        return self.stack.concord.ledger.get(ref.id)


@pytest.fixture
def redis_url(own_redis: RedisServer) -> str:
    return own_redis.url


@pytest.fixture
def deadly(tmp_path: Path, redis_url: str) -> Iterator[Deadly]:
    """One counted death is enough."""
    with Stack(tmp_path, redis_url=redis_url, process={"max_attempts": 1}) as stack:
        yield Deadly(stack)


def test_a_death_counts_only_for_the_mail_that_was_alone_in_the_parser(deadly: Deadly) -> None:
    """A mail that kills its worker is set aside; one whose archive call does, its neighbours and slow ones are not."""
    refs = deadly.record("One", "kills in the parser", "kills in the archive", "Two")
    one, parser, archive, two = refs
    late = deadly.record("Three", "never ends")
    deadly.stack.concord.queue.process(refs)
    deadly.stack.concord.queue.process(late)
    deadly.start()

    def done() -> bool:
        found = [deadly.message(ref) for ref in (*refs, *late)]
        ended = [message.state not in (MessageState.ARCHIVED, MessageState.PROCESSING) for message in found]
        return ended == [True, True, False, True, True, True] and found[2].attempts >= 4

    assert eventually(done, within=240), f"{[deadly.message(ref) for ref in refs]}\n{deadly.stack.log('mail')[-6000:]}"

    assert [deadly.message(ref).state for ref in (one, two, late[0])] == [MessageState.PROCESSED] * 3
    killer, slow, innocent = (deadly.message(ref) for ref in (parser, late[1], archive))
    assert (killer.state, killer.error_code) == (MessageState.QUARANTINED, "worker_lost")
    assert (slow.state, slow.error_code) == (MessageState.QUARANTINED, "too_slow")
    assert (innocent.failures, innocent.suspect) == (0, True)
    deadly.alive.unlink()
    assert eventually(lambda: deadly.message(archive).state is MessageState.PROCESSED, within=120)


def test_what_a_killed_worker_held_goes_on_at_its_next_start(tmp_path: Path, redis_url: str) -> None:
    """Its claims would lapse after five minutes; they belong to a life of the worker that is over."""
    limits = {"soft_time_limit": 240, "time_limit": 300}
    with Stack(tmp_path, redis_url=redis_url, process=limits) as stack:
        deadly = Deadly(stack)
        [held] = deadly.record("never ends")
        stack.concord.queue.process([held])
        deadly.start()
        assert eventually(lambda: deadly.message(held).state is MessageState.PROCESSING, within=120), stack.log("mail")

        stack.kill("mail")
        deadly.alive.unlink()
        deadly.start()

        assert eventually(lambda: deadly.message(held).state is MessageState.PROCESSED, within=150), stack.log("mail")
        assert (deadly.message(held).failures, deadly.message(held).attempts) == (0, 2)


def test_what_a_killed_pool_process_held_goes_on_at_once(tmp_path: Path, redis_url: str) -> None:
    """Its worker outlives it and frees its claims, which would lapse after five minutes."""
    limits = {"soft_time_limit": 240, "time_limit": 300}
    with Stack(tmp_path, redis_url=redis_url, process=limits) as stack:
        deadly = Deadly(stack)
        [held] = deadly.record("never ends")
        stack.concord.queue.process([held])
        deadly.start()
        assert eventually(lambda: deadly.message(held).state is MessageState.PROCESSING, within=120), stack.log("mail")

        pool = children(stack.pid("mail"))
        for pid in pool:
            os.kill(pid, signal.SIGKILL)
        # Only now: it would end well before it is killed.
        deadly.alive.unlink()

        assert eventually(lambda: deadly.message(held).state is MessageState.PROCESSED, within=60), stack.log("mail")
        assert (deadly.message(held).failures, deadly.message(held).attempts) == (0, 2)
        assert len(pool) == 2


def children(pid: int) -> list[int]:
    """The processes that it has forked."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in found.split()]
