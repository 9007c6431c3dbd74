"""Deliveries and runs in a process's hands: in order, renewed, given back, held; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from concord.adapters.sql.outbox import SqlOutbox
from concord.errors import DatabaseDownError, HandlerDisabledError, HandlerError
from concord.model.account import Priority
from concord.model.delivery import Delivery, DeliveryState
from concord.model.workflow import RunState, WorkflowRun
from concord.pipeline.hands import LEASE, Hands
from tests.sql_world import MINUTE, START, World, processed, workflow

OFF = HandlerDisabledError(handler="hook")
HOUR = timedelta(hours=1)


def finished(world: World, **fields: Any) -> list[int]:
    """The ids of the deliveries of one more mail."""
    [claim] = world.claimed(1)
    return [ref.id for ref in world.ledger.finish([processed(claim, **fields)]).deliveries]


def claimed(world: World, ids: list[int]) -> list[Delivery]:
    return world.outbox.claim_deliveries(ids, until=world.clock() + LEASE)


def trail_of(world: World, delivery_id: int) -> list[str]:
    message = world.outbox.delivery(delivery_id).message_id
    return [step.what for step in world.ledger.trail(message) if step.what.startswith("delivery")]


def test_urgent_one_comes_first_in_claims_references_and_the_sweep(world: World) -> None:
    """P10: with many waiting, a high mail's delivery is the next."""
    normal = [one for _ in range(20) for one in finished(world, handlers=("hook",))]
    [high] = finished(world, handlers=("hook",), priority=Priority.HIGH)
    world.clock.forward(HOUR)

    refs = world.outbox.waiting_deliveries([*normal, high])
    swept = world.outbox.stale(queued_before=world.clock(), limit=1).deliveries
    taken = claimed(world, [*normal, high])

    assert [refs[0].id, swept[0].id, taken[0].id] == [high] * 3
    assert (refs[0].lane, refs[0].account, refs[0].priority) == ("hook", "sales", Priority.HIGH)


def test_replay_has_the_messages_priority(world: World) -> None:
    [high] = finished(world, handlers=("hook",), priority=Priority.HIGH)
    event = world.outbox.delivery(high).event_id

    [again] = world.outbox.replay(event, ["hook"], archive_key="x")

    assert world.outbox.delivery(again).priority is Priority.HIGH


def test_renewed_claim_is_nobody_elses_however_long_it_lasts(world: World) -> None:
    ids = finished(world, handlers=("hook",))
    hands = Hands(world.outbox, world.clock)
    hands.hold(claimed(world, ids))

    for _ in range(30):
        world.clock.forward(MINUTE)
        hands.renew()
        assert claimed(world, ids) == []

    world.clock.forward(LEASE)
    assert len(claimed(world, ids)) == 1


def test_what_somebody_else_has_by_now_is_not_renewed_and_not_given_back(world: World) -> None:
    ids = finished(world, handlers=("hook",))
    old = claimed(world, ids)
    world.clock.forward(LEASE)
    [new] = claimed(world, ids)

    world.outbox.renew(old, until=world.clock() + HOUR)
    world.outbox.give_back(old, due_at=world.clock())

    assert world.outbox.delivery(new.id).leased_until == new.leased_until
    assert world.outbox.delivery(new.id).state is DeliveryState.DELIVERING


def test_given_back_is_due_uncounted_and_without_a_step_in_the_trail(world: World) -> None:
    ids = finished(world, handlers=("hook", "log"))

    world.outbox.give_back(claimed(world, ids), due_at=world.clock(), error=HandlerError("slots_taken"))

    for one in ids:
        kept = world.outbox.delivery(one)
        assert (kept.state, kept.failures, kept.suspect, kept.leased_until) == (DeliveryState.PENDING, 0, False, None)
        assert kept.error_code == "handler"
        assert trail_of(world, one) == []
    assert len(claimed(world, ids)) == 2


def test_given_back_run_stands_at_its_step(world: World) -> None:
    world.finished(workflows=(workflow(steps=2),))
    [waiting] = world.outbox.runs()
    run = world.outbox.claim_run(waiting.id, until=world.clock() + LEASE)
    assert run is not None

    world.outbox.give_back([run], due_at=world.clock())

    kept = world.outbox.run(run.id)
    assert (kept.state, kept.failures, kept.steps[0].state) == (RunState.PENDING, 0, RunState.PENDING)
    assert world.outbox.claim_run(run.id, until=world.clock() + LEASE) is not None


def test_held_one_is_claimed_by_nobody_and_goes_on_when_it_may(world: World) -> None:
    ids = finished(world, handlers=("hook", "log"))
    hook = next(one for one in ids if world.outbox.delivery(one).handler == "hook")
    assert world.outbox.hold([hook], OFF) == 1
    world.clock.forward(HOUR)

    assert [one.handler for one in claimed(world, ids)] == ["log"]
    assert world.outbox.waiting_deliveries([hook]) == []
    assert hook not in [ref.id for ref in world.outbox.stale(queued_before=world.clock(), limit=10).deliveries]
    assert (world.outbox.held_for(), world.outbox.waiting_for("hook")) == ({"hook"}, 1)
    assert trail_of(world, hook) == ["delivery.held"]

    assert [ref.id for ref in world.outbox.unhold({"hook"}, limit=10)] == [hook]

    assert [one.id for one in claimed(world, [hook])] == [hook]
    assert world.outbox.held_for() == set()
    assert world.outbox.delivery(hook).error_code is None


def test_a_person_may_offer_a_held_one_again(world: World) -> None:
    [hook] = finished(world, handlers=("hook",))
    world.outbox.hold([hook], OFF)

    assert world.outbox.retry_deliveries([hook]) == [hook]
    assert [ref.id for ref in world.outbox.waiting_deliveries([hook])] == [hook]


def test_under_way_one_is_not_held(world: World) -> None:
    ids = finished(world, handlers=("hook",))
    claimed(world, ids)

    assert world.outbox.hold(ids, OFF) == 0


def test_rows_of_an_older_version_have_all_they_need(world: World) -> None:
    """During an upgrade the old version goes on inserting without the new columns."""
    [made] = finished(world, handlers=("hook",))
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO deliveries (event_id, message_id, handler, run, state, due_at, created_at) "
                "SELECT event_id, message_id, 'old', 0, 'pending', due_at, created_at FROM deliveries WHERE id = :id"
            ),
            {"id": made},
        )

    [old] = world.outbox.deliveries(handler="old")

    assert (old.priority, old.held, old.error_code) == (Priority.NORMAL, False, None)
    assert [one.id for one in claimed(world, [old.id])] == [old.id]


@pytest.fixture
def impatient_outbox(world: World) -> Iterator[SqlOutbox]:
    """Waits half a second for a lock."""
    engine = impatient(world.engine)
    yield SqlOutbox(engine, world.clock)
    engine.dispose()


def impatient(engine: Engine) -> Engine:
    return create_engine(engine.url, connect_args={"options": "-c lock_timeout=500 -c timezone=UTC"})


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite locks no single table
def test_locked_trail_neither_frees_nor_doubles_nor_blames(world: World, impatient_outbox: SqlOutbox) -> None:
    """ACCESS EXCLUSIVE on one table, with real locks: the outcome is recorded when the lock is gone."""
    [one] = finished(world, handlers=("hook",))
    hands = Hands(impatient_outbox, world.clock)
    [delivery] = claimed(world, [one])
    hands.hold([delivery])

    with world.engine.begin() as locker:
        locker.execute(text("LOCK TABLE trail IN ACCESS EXCLUSIVE MODE"))
        assert hands.settle(delivery, lambda: impatient_outbox.delivered(delivery, {"status": 204})) is None
        for _ in range(5):
            world.clock.forward(MINUTE)
            with suppress(DatabaseDownError):
                hands.renew()
            assert hands.has(Delivery, one)
            assert claimed(world, [one]) == []

    hands.renew()

    kept = world.outbox.delivery(one)
    assert (kept.state, kept.failures, kept.attempts) == (DeliveryState.DELIVERED, 0, 1)
    assert not hands.has(Delivery, one)


def test_step_whose_end_was_recorded_late_lets_the_run_go_on(world: World) -> None:
    world.finished(workflows=(workflow(steps=2),))
    [waiting] = world.outbox.runs()
    run = world.outbox.claim_run(waiting.id, until=world.clock() + LEASE)
    assert isinstance(run, WorkflowRun)
    here = world.outbox.step_done(run, {"ticket": 1})
    assert here is not None

    world.outbox.give_back([here], due_at=world.clock())

    again = world.outbox.claim_run(run.id, until=START + HOUR)
    assert again is not None
    assert (again.position, again.failures, again.steps[0].state) == (1, 0, RunState.SUCCEEDED)
