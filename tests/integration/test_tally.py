"""What the tables say of a minute and of now (U4): counted by what really happened, cheap however much is done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from concord.adapters.sql.tally import SqlTally
from concord.errors import BrokerCrowdedError, HandlerDisabledError, HandlerError
from concord.model.account import AccountState, AccountStatus
from concord.model.message import MessageState
from concord.model.number import SERIES
from tests.sql_world import MINUTE, START, World, account, next_uids, plans, processed, seen, unread, workflow


@pytest.fixture
def tally(world: World) -> SqlTally:
    return SqlTally(world.engine, world.clock)


def minute(tally: SqlTally, number: int = 0) -> dict[str, float]:
    """What happened in a minute, without zeros."""
    begin = START + number * MINUTE
    return {name: value for name, value in tally.happened(begin, begin + MINUTE).items() if value}


def test_mail_is_counted_in_the_minute_in_which_it_happened(world: World, tally: SqlTally) -> None:
    claims = world.claimed(3)
    world.clock.forward(MINUTE)
    world.ledger.finish([processed(claims[0]), processed(claims[1], skipped=True, handlers=())])
    world.ledger.quarantine(claims[2], HandlerError("not_accepted"))

    assert minute(tally) == {"mail.archived": 3}
    assert minute(tally, 1) == {
        "mail.processed": 1,
        "mail.skipped": 1,
        "mail.quarantined": 1,
        "event.made": 2,
        "lag.p50": 60,
        "lag.p95": 60,
    }
    assert minute(tally, 2) == {}


def test_deliveries_are_counted_by_their_attempts(world: World, tally: SqlTally) -> None:
    world.finished(handlers=("one", "two"), workflows=(workflow(steps=1),))
    failure = HandlerError("not_accepted")
    for _ in range(2):
        for delivery in world.outbox.claim_deliveries([1, 2], until=world.clock() + MINUTE):
            if delivery.handler == "one":
                world.outbox.delivery_retry(delivery, failure, due_at=world.clock())
            elif delivery.attempts == 1:
                world.outbox.delivered(delivery, {})
    (last,) = world.outbox.claim_deliveries([1], until=world.clock() + MINUTE)
    world.outbox.delivery_dead(last, failure)
    run = world.outbox.claim_run(1, until=world.clock() + MINUTE)
    assert run is not None
    world.outbox.run_failed(run, failure)

    found = minute(tally)

    assert (found["delivery.delivered"], found["delivery.failed"], found["delivery.dead"]) == (1, 2, 1)
    assert found["workflow.failed"] == 1


def test_lag_has_the_middle_and_the_slow_end(world: World, tally: SqlTally) -> None:
    for slowness in range(20):
        world.record([seen(uid) for uid in next_uids(1)])
        world.clock.forward(timedelta(seconds=1))
        del slowness
    claims = world.ledger.claim(list(range(1, 21)), until=world.clock() + MINUTE)
    world.ledger.finish([processed(claim) for claim in claims])

    found = minute(tally)

    assert (found["lag.p50"], found["lag.p95"]) == (10, 19)


def test_lag_leaves_out_what_a_person_had_asked_for(world: World, tally: SqlTally) -> None:
    """A mail out of quarantine waited for a person."""
    (claim,) = world.claimed()
    world.ledger.quarantine(claim, HandlerError("not_accepted"))
    world.clock.forward(timedelta(days=30))
    world.ledger.retry([claim.message.id])
    world.ledger.finish([processed(again) for again in world.ledger.claim([1], until=world.clock() + MINUTE)])

    found = tally.happened(world.clock(), world.clock() + MINUTE)

    assert found["mail.processed"] == 1
    assert "lag.p95" not in found


def test_standing_is_what_waits_and_what_failed(world: World, tally: SqlTally) -> None:
    world.finished(handlers=("one", "two"), workflows=(workflow(),))
    (dead,) = world.outbox.claim_deliveries([1], until=world.clock() + MINUTE)
    world.outbox.delivery_dead(dead, HandlerError("not_accepted"))
    world.ledger.quarantine(world.claimed()[0], HandlerError("not_accepted"))
    world.clock.forward(timedelta(seconds=40))
    world.record([unread(uid) for uid in next_uids(2)])
    world.claimed()
    world.record([seen(uid) for uid in next_uids(3)])
    world.clock.forward(timedelta(seconds=30))

    found = tally.standing()

    assert {name: value for name, value in found.items() if not name.startswith("account.")} == {
        "now.mail.unaccounted": 0,
        "now.mail.lost": 0,
        "now.mail.waiting": 4,
        "now.mail.unfetched": 2,
        "now.mail.quarantined": 1,
        "now.delivery.waiting": 1,
        "now.delivery.dead": 1,
        "now.delivery.held": 0,
        "now.delivery.crowded": 0,
        "now.workflow.waiting": 1,
        "now.workflow.failed": 0,
        "wait.mail": 30,
        "wait.delivery": 70,
    }


def test_what_waits_for_a_handler_or_for_room_is_counted_apart_and_not_overdue(world: World, tally: SqlTally) -> None:
    world.finished(handlers=("off",))
    world.finished(handlers=("crm",))
    off, crm = sorted(one.id for one in world.outbox.deliveries())
    world.outbox.hold([off], HandlerDisabledError())
    claimed = world.outbox.claim_deliveries([crm], until=world.clock() + MINUTE)
    crowded = BrokerCrowdedError()
    world.outbox.give_back(claimed, due_at=world.clock() + MINUTE, error=crowded)
    world.clock.forward(MINUTE)

    found = tally.standing()

    assert (found["now.delivery.held"], found["now.delivery.crowded"]) == (1, 1)
    assert (found["now.delivery.waiting"], found["wait.delivery"]) == (2, 0)


def test_accounts_are_counted_by_state_and_the_disabled_apart(world: World, tally: SqlTally) -> None:
    failing = world.accounts.add(account("failing"))
    world.accounts.set_status(failing.id, AccountStatus(state=AccountState.TLS))
    world.accounts.reconciled(failing.id, 4)
    off = world.accounts.add(account("off", enabled=False))
    world.accounts.reconciled(off.id, 9)
    world.accounts.add(account("gone"))
    world.accounts.remove("gone")

    found = tally.standing()

    assert {name: value for name, value in found.items() if name.startswith("account.") and value} == {
        "account.new": 1,
        "account.tls": 1,
        "account.disabled": 1,
    }
    assert found["now.mail.unaccounted"] == 4


def test_mail_tried_again_by_hand_waits_since_then(world: World, tally: SqlTally) -> None:
    (claim,) = world.claimed()
    world.ledger.quarantine(claim, HandlerError("not_accepted"))
    world.clock.forward(timedelta(days=30))
    world.ledger.retry([claim.message.id])
    world.clock.forward(timedelta(seconds=5))

    assert tally.standing()["wait.mail"] == 5


def test_delivery_that_is_put_off_is_not_overdue(world: World, tally: SqlTally) -> None:
    world.finished(handlers=("one",))
    (delivery,) = world.outbox.claim_deliveries([1], until=world.clock() + MINUTE)
    world.outbox.delivery_retry(delivery, HandlerError("not_accepted"), due_at=world.clock() + 60 * MINUTE)

    assert tally.standing()["wait.delivery"] == 0


def test_totals_count_every_row(world: World, tally: SqlTally) -> None:
    world.finished(handlers=("one",), workflows=(workflow(),))
    world.claimed(2)

    assert tally.totals() == {
        f"total.mail.{MessageState.PROCESSED.value}": 1,
        f"total.mail.{MessageState.PROCESSING.value}": 2,
        "total.delivery.pending": 1,
        "total.workflow.pending": 1,
    }


def test_an_empty_database_has_all_at_zero(engine: Engine, world: World, tally: SqlTally) -> None:
    assert {name for name, value in tally.standing().items() if value} == {"account.new"}
    assert minute(tally) == {}
    assert tally.totals() == {}


def test_every_name_is_a_series(world: World, tally: SqlTally) -> None:
    world.finished()

    found = {*tally.happened(START, START + MINUTE), *tally.standing(), *tally.totals()}

    assert found <= set(SERIES)


def test_no_question_of_a_minute_reads_a_whole_table(world: World, tally: SqlTally) -> None:
    with plans(world.engine) as told:
        tally.happened(START, START + MINUTE)
        if world.engine.dialect.name == "sqlite":
            # PostgreSQL reads small tables whole, whatever indexes they have; the bench looks at big ones.
            tally.standing()

    assert told
    assert not [plan for plan in told if "SCAN trail" in plan or ("SCAN messages" in plan and "INDEX" not in plan)]
