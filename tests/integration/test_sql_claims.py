"""What a claim that lapses says of a row: nothing, without proof. Messages, deliveries and runs; on both databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select

from concord.adapters.sql.claims import MESSAGES
from concord.adapters.sql.deliveries import DELIVERIES
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.holdings import SqlClaims
from concord.adapters.sql.ledger import SqlLedger
from concord.adapters.sql.runs import RUNS
from concord.adapters.sql.work import Claiming, Spans, Work
from concord.errors import DatabaseDownError
from concord.model.message import MessageState
from concord.model.worker import Incarnation
from tests.sql_world import MINUTE, START, World, processed, seen, statements, workflow
from tests.waiting import eventually

LATER = START + 10 * MINUTE
HOUR = timedelta(hours=1)
SPANS = Spans(wait=2 * HOUR, lease=10 * MINUTE)


@dataclass(frozen=True)
class Rows:
    """Rows of one table that wait, and how to claim them."""

    world: World
    work: Work
    ids: list[int]

    def claim(self, ids: Sequence[int] | None = None, *, minutes: int = 5, holder: str | None = None) -> list[int]:
        now = self.world.clock()
        claiming = Claiming(now=now, until=now + minutes * MINUTE, holder=holder, spans=SPANS)
        with transaction(self.world.engine) as connection:
            return sorted(self.work.take(connection, self.ids if ids is None else ids, claiming))

    def enter(self, row_id: int, stage: str | None) -> bool:
        with transaction(self.world.engine) as connection:
            return self.work.enter(connection, self.work.held(row_id, self.row(row_id).attempts), stage)

    def row(self, row_id: int) -> Any:
        with reading(self.world.engine) as connection:
            return connection.execute(select(self.work.table).where(self.work.table.c.id == row_id)).one()

    def set(self, **values: object) -> None:
        with transaction(self.world.engine) as connection:
            connection.execute(self.work.table.update().where(self.work.table.c.id.in_(self.ids)).values(values))

    def forgotten(self) -> list[Any]:
        now = self.world.clock()
        with transaction(self.world.engine) as connection:
            return list(self.work.forgotten(connection, now=now, queued_before=now, limit=100, spans=SPANS))

    def lapse(self) -> None:
        self.world.clock.forward(6 * MINUTE)


def _messages(world: World, count: int) -> Rows:
    refs = world.record([seen(uid) for uid in range(1, count + 1)])
    return Rows(world, MESSAGES, sorted(ref.id for ref in refs))


def _deliveries(world: World, count: int) -> Rows:
    made = [world.finished(handlers=("log",)) for _ in range(count)]
    ids = sorted(delivery.id for delivery in world.outbox.deliveries())
    assert len(ids) == len(made)
    return Rows(world, DELIVERIES, ids)


def _runs(world: World, count: int) -> Rows:
    for _ in range(count):
        world.finished(handlers=(), workflows=(workflow(),))
    return Rows(world, RUNS, sorted(run.id for run in world.outbox.runs()))


@pytest.fixture(params=[_messages, _deliveries, _runs], ids=["messages", "deliveries", "runs"])
def rows(request: pytest.FixtureRequest, world: World) -> Rows:
    """Three rows of each kind of work."""
    make: Callable[[World, int], Rows] = request.param
    return make(world, 3)


# A lapse.


def test_a_lapsed_claim_makes_suspect_and_counts_nothing(rows: Rows) -> None:
    """The worker hung in a call to the database, was stopped, or lost its power: no row is to blame."""
    assert rows.claim() == rows.ids
    rows.lapse()

    [again] = rows.claim([rows.ids[0]])

    row = rows.row(again)
    assert (row.failures, row.suspect, row.attempts) == (0, True, 2)


def test_a_lapse_alone_and_suspect_counts_only_where_a_stage_is_written(rows: Rows) -> None:
    one = rows.ids[0]
    for _ in range(5):
        assert rows.claim([one]) == [one]
        rows.lapse()
    assert rows.row(one).failures == 0

    for count in (0, 1, 2):
        assert rows.claim([one]) == [one]
        assert rows.row(one).failures == count
        assert rows.enter(one, "parse")
        rows.lapse()


def test_a_stage_that_was_left_counts_nothing(rows: Rows) -> None:
    one = rows.ids[0]
    rows.claim([one])
    rows.lapse()
    rows.claim([one])
    rows.enter(one, "rule")
    rows.enter(one, None)
    rows.lapse()

    rows.claim([one])

    assert rows.row(one).failures == 0


def test_the_first_lapse_counts_nothing_even_with_a_stage(rows: Rows) -> None:
    """It was not alone: no stage should have been written, and none is believed."""
    rows.claim()
    rows.enter(rows.ids[0], "parse")
    rows.lapse()

    rows.claim([rows.ids[0]])

    assert rows.row(rows.ids[0]).failures == 0


def test_a_late_worker_cannot_write_its_stage(rows: Rows) -> None:
    one = rows.ids[0]
    rows.claim([one])
    late = rows.work.held(one, rows.row(one).attempts)
    rows.lapse()
    rows.claim([one])

    with transaction(rows.world.engine) as connection:
        assert not rows.work.enter(connection, late, "parse")

    assert rows.row(one).stage is None


# Alone.


def test_of_a_lapsed_chunk_each_row_is_claimed_alone(rows: Rows) -> None:
    """Its message is handed out again (`task_reject_on_worker_lost`), as often as it likes."""
    rows.claim()
    rows.lapse()

    assert [rows.claim() for _ in range(4)] == [[known] for known in rows.ids] + [[]]


def test_a_chunk_with_a_suspect_takes_the_others_first(rows: Rows) -> None:
    rows.claim([rows.ids[1]])
    rows.lapse()

    assert rows.claim() == [rows.ids[0], rows.ids[2]]
    assert rows.claim() == [rows.ids[1]]


def test_of_many_claims_at_once_each_suspect_goes_to_one(rows: Rows) -> None:
    rows.claim()
    rows.lapse()
    barrier = Barrier(6)

    def take(_turn: int) -> list[int]:
        barrier.wait()
        return rows.claim()

    with ThreadPoolExecutor(6) as threads:
        taken = list(threads.map(take, range(6)))

    assert all(len(some) <= 1 for some in taken)
    found = [known for some in taken for known in some]
    assert len(found) == len(set(found))


def test_a_lapsed_or_failed_row_is_swept_as_suspect(rows: Rows) -> None:
    rows.claim([rows.ids[0]])
    rows.lapse()
    assert [(row.id, row.is_suspect) for row in rows.forgotten()] == [
        (rows.ids[0], True),
        (rows.ids[1], False),
        (rows.ids[2], False),
    ]


def test_a_fresh_chunk_is_claimed_in_one_statement(rows: Rows) -> None:
    with statements(rows.world.engine) as told:
        rows.claim()

    assert len([line for line in told if not line.startswith("BEGIN")]) == 1


# Given back.


def test_claims_are_given_back_in_one_statement_uncounted(rows: Rows) -> None:
    rows.claim(holder="mail@a/1")
    held = [(known, rows.row(known).attempts) for known in rows.ids]

    with transaction(rows.world.engine) as connection, statements(rows.world.engine) as told:
        given = rows.work.give_back(connection, held, {"due_at": rows.world.clock()})

    assert len(told) == 1
    assert sorted(given) == held
    row = rows.row(rows.ids[0])
    assert (row.state, row.failures, row.suspect, row.claimed_by) == (rows.work.idle, 0, False, None)
    assert rows.claim() == rows.ids


def test_a_claim_that_lapsed_is_not_given_back(rows: Rows) -> None:
    rows.claim()
    held = [(known, rows.row(known).attempts) for known in rows.ids]
    rows.lapse()
    assert rows.claim() == [rows.ids[0]]

    with transaction(rows.world.engine) as connection:
        given = rows.work.give_back(connection, held, {})

    assert sorted(given) == held[1:]
    assert rows.row(rows.ids[0]).state == rows.work.taken


# A worker that is gone.


def test_what_a_dead_worker_held_is_free_at_its_next_start(rows: Rows) -> None:
    """It is not waited for: a delivery of a worker that was restarted goes on at once, alone."""
    mine, neighbour = Incarnation("mail@a", "new"), "mail@b/1"
    rows.claim(rows.ids[:2], holder="mail@a/old")
    rows.claim(rows.ids[2:], holder=neighbour)
    claims = SqlClaims(rows.world.engine)
    assert claims.holders(mine.prefix) == {"mail@a/old"}

    assert claims.release("mail@a/old") == 2

    assert claims.holders(mine.prefix) == set()
    assert rows.row(rows.ids[2]).claimed_by == neighbour
    row = rows.row(rows.ids[0])
    assert (row.state, row.failures, row.suspect, row.queued_at) == (rows.work.idle, 0, True, None)
    assert [found.id for found in rows.forgotten()] == rows.ids[:2]
    assert rows.claim() == rows.ids[:1]


def test_a_node_is_not_taken_for_another_whose_name_begins_so(rows: Rows) -> None:
    rows.claim(holder="mail@host2/1")
    claims = SqlClaims(rows.world.engine)

    assert claims.holders("mail@host/") == claims.holders("mail_host2/") == claims.holders("mail%/") == set()


def test_a_release_counts_a_death_in_a_stage_as_a_lapse_does(rows: Rows) -> None:
    one = rows.ids[0]
    rows.claim([one])
    rows.lapse()
    rows.claim([one], holder="mail@a/1")
    rows.enter(one, "parse")

    SqlClaims(rows.world.engine).release("mail@a/1")

    assert (rows.row(one).failures, rows.row(one).stage) == (1, None)


# Clocks.


def test_work_due_far_in_the_future_is_due(rows: Rows) -> None:
    """A clock that was ahead by years wrote it; no wait is that long."""
    rows.set(due_at=datetime(2099, 1, 1, tzinfo=START.tzinfo))
    rows.world.clock.forward(MINUTE)

    assert [found.id for found in rows.forgotten()] == rows.ids
    assert rows.claim() == rows.ids


def test_a_lease_far_in_the_future_has_lapsed(rows: Rows) -> None:
    rows.claim(minutes=60 * 24 * 365)

    assert rows.claim([rows.ids[0]]) == rows.ids[:1]
    assert (rows.row(rows.ids[0]).failures, rows.row(rows.ids[0]).suspect) == (0, True)


def test_waits_and_leases_within_their_spans_are_kept(rows: Rows) -> None:
    rows.set(due_at=START + SPANS.wait)
    assert rows.claim() == []
    rows.set(due_at=START)
    rows.claim(minutes=10)
    assert rows.claim() == []


def test_work_queued_and_due_within_the_next_hours_by_a_clock_that_was_ahead_is_due(rows: Rows) -> None:
    """With SQLite the machine's clock is the database's: an hour ahead, then corrected, it leaves such rows."""
    ahead = rows.world.clock() + HOUR
    rows.set(due_at=ahead, queued_at=ahead)
    rows.world.clock.forward(MINUTE)

    assert [found.id for found in rows.forgotten()] == rows.ids
    rows.set(queued_at=ahead)
    assert rows.claim() == rows.ids


def test_what_was_queued_in_the_future_is_queued_again(rows: Rows) -> None:
    rows.set(queued_at=datetime(2099, 1, 1, tzinfo=START.tzinfo))

    assert [found.id for found in rows.forgotten()] == rows.ids


# A commit that is not answered.


def test_a_claim_whose_commit_is_not_answered_is_given_back(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is restarted at that moment: the row is claimed, and nobody knows that it has it."""
    dialect = rows.world.engine.dialect
    commit = dialect.do_commit
    broken: type[Exception] = dialect.loaded_dbapi.OperationalError
    seen_commits: list[object] = []

    def commit_and_hang_up(connection: Any) -> None:
        commit(connection)
        if not seen_commits:
            seen_commits.append(connection)
            raise broken("server closed the connection unexpectedly")

    claims_of: dict[str, Callable[[datetime], object]] = {
        "messages": lambda until: rows.world.ledger.claim(rows.ids, until=until),
        "deliveries": lambda until: rows.world.outbox.claim_deliveries(rows.ids, until=until),
        "workflow_runs": lambda until: rows.world.outbox.claim_run(rows.ids[0], until=until),
    }
    monkeypatch.setattr(dialect, "do_commit", commit_and_hang_up)
    with pytest.raises(DatabaseDownError):
        claims_of[rows.work.table.name](rows.world.clock() + 5 * MINUTE)

    assert eventually(lambda: all(rows.row(known).state == rows.work.idle for known in rows.ids))
    kept = rows.row(rows.ids[0])
    assert (kept.failures, kept.suspect, kept.leased_until, kept.queued_at) == (0, False, None, None)
    assert rows.ids[0] in rows.claim()


# Through the ledger.


def test_a_lapsed_claim_of_a_message_blames_it_not(world: World) -> None:
    """Ten lapses in a row, as a table locked for half an hour made them."""
    [claim] = world.claimed()
    for _ in range(10):
        world.clock.forward(5 * MINUTE)
        [claim] = world.ledger.claim([claim.message.id], until=world.clock() + 5 * MINUTE)

    assert (claim.attempt, claim.message.failures, claim.message.suspect) == (11, 0, True)


def test_a_processed_message_is_suspect_no_more(world: World) -> None:
    [claim] = world.claimed()
    world.clock.forward(5 * MINUTE)
    [again] = world.ledger.claim([claim.message.id], until=LATER)

    world.ledger.finish([processed(again)])

    kept = world.ledger.get(claim.message.id)
    assert (kept.state, kept.suspect) == (MessageState.PROCESSED, False)


def test_a_claim_names_the_worker_that_holds_it(world: World) -> None:
    [ref] = world.record([seen(1)])
    ledger = SqlLedger(world.engine, world.clock, worker=lambda: Incarnation("mail@a", "7"))

    ledger.claim([ref.id], until=LATER)

    assert SqlClaims(world.engine).holders("mail@a/") == {"mail@a/7"}
