"""A table that somebody holds for half an hour (VACUUM FULL, ALTER, a forgotten psql) blames no mail; on PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import Engine, text

from concord.adapters.sql.engine import make_engine
from concord.adapters.sql.losses import SqlLosses
from concord.adapters.sql.rulebook import SqlRulebook
from concord.errors import DatabaseDownError
from concord.model.message import MessageState
from concord.pipeline.process import Processor
from concord.ports import MessageFilter
from concord.settings import ProcessSettings
from tests.factories import mail
from tests.fakes.archive import MemoryArchive
from tests.fakes.queue import MemoryQueue
from tests.servers.fixtures_database import settings_of
from tests.sql_world import MINUTE, World, seen

MAILS = 4
ROUNDS = 8


@pytest.fixture
def impatient(postgres_url: str) -> Iterator[World]:
    """A world whose statements wait a second for a lock."""
    engine = make_engine(settings_of(postgres_url, busy_timeout=1))
    yield World(engine)
    engine.dispose()


@contextmanager
def locked(engine: Engine, table: str) -> Iterator[None]:
    """Hold the whole table."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield


class Worker:
    """Processes as a worker does; each process of it is replaced after two rounds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.archive = MemoryArchive()
        self.queue = MemoryQueue()

    def fill(self) -> list[int]:
        """Mails that wait, their bytes in the archive."""
        mails = []
        for uid in range(1, MAILS + 1):
            raw = mail(f"Mail {uid}")
            key = f"raw/{uid}.eml"
            self.archive.objects[key] = raw
            mails.append(seen(uid, sha256=hashlib.sha256(raw).hexdigest(), size=len(raw), archive_key=key))
        return [ref.id for ref in self.world.record(mails)]

    def process(self) -> Processor:
        """A process of it, new."""
        world = self.world
        return Processor(
            ledger=world.ledger,
            archive=self.archive,
            losses=SqlLosses(world.engine, world.clock),
            accounts=world.accounts,
            rulebook=SqlRulebook(world.engine),
            queue=self.queue,
            settings=ProcessSettings(max_attempts=3),
            default_handlers=("log",),
            clock=world.clock,
        )

    def work(self, process: Processor, ids: list[int]) -> None:
        """A chunk, handed out again and again, and each mail alone, as the sweep queues suspects."""
        for some in (ids, *([known] for known in ids)):
            with suppress(DatabaseDownError):
                process.process(some)


@pytest.mark.parametrize("table", ["trail", "events", "deliveries", "messages", "accounts"])
def test_a_locked_table_quarantines_no_mail(impatient: World, table: str) -> None:
    """Trap 98: with one table locked for 27 minutes, 10 of 10 mails were quarantined."""
    world, worker = impatient, Worker(impatient)
    ids = worker.fill()
    process = worker.process()

    with locked(world.engine, table):
        for turn in range(ROUNDS):
            process = worker.process() if turn % 2 else process
            worker.work(process, ids[:2] if turn else ids)
            world.clock.forward(6 * MINUTE)  # more than a lease

    kept = {message.id: message for message in world.ledger.search(MessageFilter())}
    assert [(kept[known].failures, kept[known].state is MessageState.QUARANTINED) for known in ids] == [
        (0, False)
    ] * MAILS
    for _ in range(2):
        worker.work(worker.process(), ids)
        world.clock.forward(6 * MINUTE)
    assert {message.state for message in world.ledger.search(MessageFilter())} == {MessageState.PROCESSED}
    assert len(world.outbox.deliveries()) == MAILS


def test_a_message_that_somebody_has_locked_holds_up_no_other(impatient: World) -> None:
    """A forgotten transaction in a psql: its message waits for its lease, and the process goes on."""
    world, worker = impatient, Worker(impatient)
    ids = worker.fill()
    process = worker.process()
    claims = world.ledger.claim(ids, until=world.clock() + MINUTE)

    with world.engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT 1 FROM messages WHERE id = :id FOR UPDATE"), {"id": ids[0]})
        world.ledger.give_back(claims, DatabaseDownError("refused"), due_at=world.clock())
        assert process.process(ids) == MAILS - 1

    world.clock.forward(2 * MINUTE)
    assert process.process(ids) == 1


def test_claims_are_given_back_by_the_process_itself_once_the_lock_is_gone(impatient: World) -> None:
    """Not only when their leases lapse."""
    world, worker = impatient, Worker(impatient)
    ids = worker.fill()
    process = worker.process()
    with locked(world.engine, "trail"), pytest.raises(DatabaseDownError):
        process.process(ids)
    assert {message.state for message in world.ledger.search(MessageFilter())} == {MessageState.PROCESSING}

    process.process([])

    assert {message.state for message in world.ledger.search(MessageFilter())} == {MessageState.ARCHIVED}
    world.clock.forward(MINUTE)
    assert process.process(ids) == MAILS
