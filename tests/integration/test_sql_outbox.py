"""The outbox: events, deliveries and workflow runs, each with its own retries (P8, P9); on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from concord.adapters.sql.runs import STEP_LEASE
from concord.errors import DatabaseDownError, HandlerError, NotFoundError
from concord.model.delivery import Delivery, DeliveryState
from concord.model.fault import dump
from concord.model.workflow import RunState, WorkflowRun
from concord.wording import english
from tests.sql_world import MINUTE, START, World, account, processed, workflow

LATER = START + 10 * MINUTE
BUSY = HandlerError("not_accepted", status=503)


def delivery(world: World) -> Delivery:
    """One in our hands."""
    world.finished()
    [newest] = world.outbox.deliveries(limit=1)
    [claimed] = world.outbox.claim_deliveries([newest.id], until=world.clock() + 5 * MINUTE)
    return claimed


def run(world: World, *, steps: int = 2) -> WorkflowRun:
    """One in our hands."""
    world.finished(workflows=(workflow(steps=steps),))
    [newest] = world.outbox.runs(limit=1)
    claimed = world.outbox.claim_run(newest.id, until=world.clock() + 5 * MINUTE)
    assert claimed is not None
    return claimed


# Events.


def test_events_are_listed_newest_first_and_page_by_page(world: World) -> None:
    made: list[UUID] = []
    for _ in range(3):
        # Two at one moment: the id decides, the same way every time.
        claims = world.claimed(2)
        world.ledger.finish([processed(claim) for claim in claims])
        made += [claim.message.event_id for claim in claims]
        world.clock.forward(MINUTE)

    first = world.outbox.events(limit=3)
    rest = world.outbox.events(before=(first[-1].created_at, first[-1].id))

    assert [event.created_at for event in first + rest] == [START + n * MINUTE for n in (2, 2, 1, 1, 0, 0)]
    assert {event.id for event in first + rest} == set(made)


def test_events_are_narrowed_by_account_and_time(world: World) -> None:
    world.accounts.add(account("idle"))
    world.finished()
    world.clock.forward(MINUTE)
    late = world.finished()

    assert world.outbox.events(account="idle") == []
    assert len(world.outbox.events(account="sales")) == 2
    assert [event.id for event in world.outbox.events(since=START + MINUTE)] == [late.event.id]
    assert len(world.outbox.events(until=START + MINUTE)) == 1


def test_unknown_things_are_named_in_the_error(world: World) -> None:
    unknown = uuid4()

    with pytest.raises(NotFoundError) as no_event:
        world.outbox.event(unknown)
    with pytest.raises(NotFoundError):
        world.outbox.replay(unknown, ["log"], archive_key="x")
    with pytest.raises(NotFoundError):
        world.outbox.run(999)
    with pytest.raises(NotFoundError):
        world.outbox.delivery(999)
    assert world.outbox.event_of(999) is None
    assert str(unknown) in english.explain(no_event.value)


# Deliveries.


def test_a_delivery_begins_due_with_its_document_at_hand(world: World) -> None:
    result = world.finished(handlers=("hook",))

    [found] = world.outbox.deliveries()

    assert (found.event_id, found.message_id) == (result.event.id, result.claim.message.id)
    assert (found.handler, found.run, found.state) == ("hook", 0, DeliveryState.PENDING)
    assert (found.attempts, found.failures, found.due_at, found.archive_key) == (0, 0, START, result.record_key)


def test_a_claimed_delivery_is_nobody_elses(world: World) -> None:
    claimed = delivery(world)

    assert (claimed.state, claimed.attempts) == (DeliveryState.DELIVERING, 1)
    assert world.outbox.claim_deliveries([claimed.id], until=LATER) == []
    assert world.outbox.claim_deliveries([], until=LATER) == []


def test_what_is_delivered_is_done(world: World) -> None:
    claimed = delivery(world)

    assert world.outbox.delivered(claimed, {"status": 204})
    assert not world.outbox.delivered(claimed, {"status": 204})

    [kept] = world.outbox.deliveries()
    assert (kept.state, kept.delivered_at, kept.leased_until) == (DeliveryState.DELIVERED, START, None)
    step = world.ledger.trail(kept.message_id)[-1]
    assert step.what == "delivery.delivered"
    assert (step.detail["delivery"], step.detail["result"]) == (kept.id, {"status": 204})


def test_a_failed_delivery_waits_with_its_reason(world: World) -> None:
    claimed = delivery(world)

    world.outbox.delivery_retry(claimed, BUSY, due_at=START + MINUTE)

    [kept] = world.outbox.deliveries()
    assert (kept.state, kept.failures, kept.due_at) == (DeliveryState.PENDING, 1, START + MINUTE)
    assert kept.error == dump(BUSY)
    assert world.outbox.claim_deliveries([kept.id], until=LATER) == []
    world.clock.forward(MINUTE)
    assert [again.attempts for again in world.outbox.claim_deliveries([kept.id], until=LATER)] == [2]
    assert world.steps(kept.message_id)[-1] == "delivery.retry"


def test_infrastructure_blames_no_delivery(world: World) -> None:
    claimed = delivery(world)

    world.outbox.delivery_retry(claimed, DatabaseDownError("refused"), due_at=START, counts=False)

    assert [kept.failures for kept in world.outbox.deliveries()] == [0]


def test_waits_of_two_deliveries_and_a_run_are_one_step_each(world: World) -> None:
    """However long our own Redis or a full house keeps them waiting."""
    world.finished(handlers=("log", "hook"), workflows=(workflow(),))
    ids = [kept.id for kept in world.outbox.deliveries()]
    [standing] = world.outbox.runs()
    gone = DatabaseDownError("refused")
    for _ in range(5):
        for claimed in world.outbox.claim_deliveries(ids, until=LATER):
            world.outbox.delivery_retry(claimed, gone, due_at=world.clock(), counts=False)
        claimed_run = world.outbox.claim_run(standing.id, until=LATER)
        assert claimed_run is not None
        world.outbox.step_retry(claimed_run, gone, due_at=world.clock(), counts=False)

    steps = world.ledger.trail(standing.message_id)[-3:]
    assert [step.what for step in steps] == ["delivery.retry", "delivery.retry", "workflow.retry"]
    assert [step.detail["times"] for step in steps] == [5, 5, 5]
    assert {step.detail.get("delivery") for step in steps} == {*ids, None}


def test_a_dead_delivery_rests_until_a_person_says_so(world: World) -> None:
    claimed = delivery(world)
    world.outbox.delivery_dead(claimed, BUSY)
    assert world.outbox.claim_deliveries([claimed.id], until=LATER) == []

    revived = world.outbox.retry_deliveries([claimed.id, 999])

    assert revived == [claimed.id]
    [again] = world.outbox.claim_deliveries(revived, until=LATER)
    assert (again.failures, again.error, again.attempts) == (0, None, 2)
    trail = ["delivery.dead", "delivery.retried"]
    assert world.steps(claimed.message_id)[-2:] == trail


def test_a_waiting_delivery_can_be_hurried_and_a_done_one_cannot(world: World) -> None:
    waiting, done = delivery(world), delivery(world)
    world.outbox.delivery_retry(waiting, BUSY, due_at=START + timedelta(hours=6))
    world.outbox.delivered(done, {})

    assert world.outbox.retry_deliveries([waiting.id, done.id]) == [waiting.id]
    assert len(world.outbox.claim_deliveries([waiting.id], until=LATER)) == 1


def test_who_lost_a_delivery_writes_nothing(world: World) -> None:
    old = delivery(world)
    world.clock.forward(5 * MINUTE)
    [new] = world.outbox.claim_deliveries([old.id], until=LATER)

    assert not world.outbox.delivered(old, {})
    world.outbox.delivery_retry(old, BUSY, due_at=START)
    world.outbox.delivery_dead(old, BUSY)

    assert world.outbox.deliveries() == [new]
    assert (new.failures, new.suspect) == (0, True)


def test_a_replay_is_a_new_round_with_the_new_document(world: World) -> None:
    """P18."""
    result = world.finished()

    first = world.outbox.replay(result.event.id, ["log", "hook"], archive_key="records/anew")
    second = world.outbox.replay(result.event.id, ["log"], archive_key="records/anew")

    found = {kept.id: kept for kept in world.outbox.deliveries()}
    assert [(found[known].run, found[known].handler) for known in first + second] == [
        (1, "log"),
        (1, "hook"),
        (2, "log"),
    ]
    assert {kept.archive_key for kept in found.values()} == {"records/anew"}
    assert world.steps(result.claim.message.id)[-1] == "message.replayed"


def test_two_replays_at_once_are_two_rounds(world: World) -> None:
    result = world.finished()
    barrier = Barrier(4)

    def again(_number: int) -> list[int]:
        barrier.wait()
        return world.outbox.replay(result.event.id, ["log"], archive_key="x")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(again, range(4)))

    assert sorted(kept.run for kept in world.outbox.deliveries()) == [0, 1, 2, 3, 4]


def test_deliveries_are_narrowed_as_asked(world: World) -> None:
    result = world.finished(handlers=("log", "hook"))
    world.finished(handlers=("log",))
    newest, *_ = world.outbox.deliveries()

    assert len(world.outbox.deliveries(handler="log")) == 2
    assert len(world.outbox.deliveries(event_id=result.event.id)) == 2
    assert len(world.outbox.deliveries(before_id=newest.id)) == 2
    assert len(world.outbox.deliveries(limit=1)) == 1
    assert world.outbox.deliveries(state=DeliveryState.DEAD) == []


# Workflow runs.


def test_a_run_carries_a_copy_of_its_workflow(world: World) -> None:
    world.finished(workflows=(workflow(),))

    [found] = world.outbox.runs()

    assert found.specs == workflow().steps
    assert [(step.position, step.state, step.attempts) for step in found.steps] == [
        (0, RunState.PENDING, 0),
        (1, RunState.PENDING, 0),
    ]
    assert (found.workflow, found.state, found.position, found.failures) == ("file", RunState.PENDING, 0, 0)


def test_a_run_goes_from_step_to_step_under_one_claim(world: World) -> None:
    """P9."""
    first = run(world)

    second = world.outbox.step_done(first, {"number": 1})
    assert second is not None
    ended = world.outbox.step_done(second, {"number": 2})

    assert (second.state, second.position, second.attempts) == (RunState.RUNNING, 1, first.attempts)
    assert ended is not None
    assert (ended.state, ended.finished_at, ended.leased_until) == (RunState.SUCCEEDED, START, None)
    assert [(step.state, step.output) for step in ended.steps] == [
        (RunState.SUCCEEDED, {"number": 1}),
        (RunState.SUCCEEDED, {"number": 2}),
    ]
    assert world.steps(first.message_id)[-3:] == ["workflow.step", "workflow.step", "workflow.succeeded"]


def test_each_step_has_the_whole_lease_before_it(world: World) -> None:
    first = run(world)
    world.clock.forward(4 * MINUTE)

    second = world.outbox.step_done(first, {})

    assert second is not None
    assert second.leased_until == START + 4 * MINUTE + STEP_LEASE


def test_a_step_told_done_twice_does_not_finish_the_next(world: World) -> None:
    first = run(world)
    second = world.outbox.step_done(first, {})

    assert world.outbox.step_done(first, {}) is None
    assert world.outbox.run(first.id) == second


def test_a_crashed_run_resumes_at_its_step(world: World) -> None:
    first = run(world)
    world.outbox.step_done(first, {"kept": True})
    world.clock.forward(6 * MINUTE)

    again = world.outbox.claim_run(first.id, until=LATER)

    assert again is not None
    assert (again.position, again.attempts, again.failures, again.suspect) == (1, 2, 0, True)
    assert again.steps[0].output == {"kept": True}
    assert again.steps[1].attempts == 2
    assert world.outbox.step_done(first, {}) is None


def test_a_failed_step_waits_and_counts(world: World) -> None:
    first = run(world)

    world.outbox.step_retry(first, BUSY, due_at=START + MINUTE)

    kept = world.outbox.run(first.id)
    assert (kept.state, kept.failures, kept.due_at) == (RunState.PENDING, 1, START + MINUTE)
    assert kept.steps[0].error == kept.error == dump(BUSY)
    assert world.outbox.claim_run(first.id, until=LATER) is None
    world.clock.forward(MINUTE)
    again = world.outbox.claim_run(first.id, until=LATER)
    assert again is not None
    world.outbox.step_retry(again, DatabaseDownError("refused"), due_at=START, counts=False)
    assert world.outbox.run(first.id).failures == 1


def test_the_next_step_begins_without_the_failures_of_the_last(world: World) -> None:
    first = run(world)
    world.outbox.step_retry(first, BUSY, due_at=START)
    again = world.outbox.claim_run(first.id, until=LATER)
    assert again is not None

    second = world.outbox.step_done(again, {})

    assert second is not None
    assert (second.failures, second.error, second.steps[0].error) == (0, None, None)


def test_a_failed_run_goes_on_where_it_failed_when_asked(world: World) -> None:
    first = run(world)
    second = world.outbox.step_done(first, {})
    assert second is not None
    world.outbox.run_failed(second, BUSY)
    failed = world.outbox.run(first.id)

    assert world.outbox.retry_runs([first.id, 999]) == [first.id]

    assert (failed.state, failed.finished_at, failed.steps[1].state) == (RunState.FAILED, START, RunState.FAILED)
    again = world.outbox.claim_run(first.id, until=LATER)
    assert again is not None
    assert (again.position, again.failures, again.finished_at) == (1, 0, None)
    assert world.outbox.retry_runs([first.id]) == []


def test_who_lost_a_run_writes_nothing(world: World) -> None:
    old = run(world)
    world.clock.forward(5 * MINUTE)
    new = world.outbox.claim_run(old.id, until=LATER)

    world.outbox.step_retry(old, BUSY, due_at=START)
    world.outbox.run_failed(old, BUSY)

    assert world.outbox.step_done(old, {}) is None
    assert world.outbox.run(old.id) == new


def test_of_many_that_ask_at_once_one_gets_the_run(world: World) -> None:
    world.finished(workflows=(workflow(),))
    [found] = world.outbox.runs()
    barrier = Barrier(6)

    def take(_number: int) -> WorkflowRun | None:
        barrier.wait()
        return world.outbox.claim_run(found.id, until=LATER)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(take, range(6)))

    assert sum(answer is not None for answer in answers) == 1


def test_runs_are_narrowed_as_asked(world: World) -> None:
    result = world.finished(workflows=(workflow("a"), workflow("b")))
    newest, _older = world.outbox.runs()

    assert [found.workflow for found in world.outbox.runs(workflow="a")] == ["a"]
    assert len(world.outbox.runs(event_id=result.event.id)) == 2
    assert len(world.outbox.runs(before_id=newest.id)) == 1
    assert world.outbox.runs(state=RunState.FAILED) == []


# The sweep.


def test_forgotten_deliveries_and_runs_are_found_once(world: World) -> None:
    """P5."""
    world.finished(workflows=(workflow(),))
    [waiting], [standing] = world.outbox.deliveries(), world.outbox.runs()
    assert world.outbox.stale(queued_before=START, limit=10).deliveries == ()
    world.clock.forward(MINUTE)

    found = world.outbox.stale(queued_before=world.clock(), limit=10)

    assert ([ref.id for ref in found.deliveries], [ref.id for ref in found.runs]) == ([waiting.id], [standing.id])
    assert world.outbox.stale(queued_before=world.clock(), limit=10) == replace(found, deliveries=(), runs=())


def test_what_a_dead_worker_had_in_hand_is_found(world: World) -> None:
    claimed, standing = delivery(world), run(world)
    [other] = [kept.id for kept in world.outbox.deliveries() if kept.id != claimed.id]
    world.outbox.claim_deliveries([other], until=START + timedelta(hours=1))
    world.clock.forward(6 * MINUTE)

    found = world.outbox.stale(queued_before=world.clock(), limit=10)

    assert ([ref.id for ref in found.deliveries], [ref.id for ref in found.runs]) == ([claimed.id], [standing.id])
