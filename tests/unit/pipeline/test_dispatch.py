"""Deliveries: each with its own retries; each ends delivered or dead (P8)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from concord.adapters.sql.outbox import SqlOutbox
from concord.errors import DatabaseDownError, HandlerError, HandlerRefusedError, SecretKeyError
from concord.model.account import Priority
from concord.model.delivery import Delivery, DeliveryState
from concord.model.fault import in_english
from concord.model.rule import HandlerSpec, Match, Rule
from concord.ports import Consignment
from concord.settings import DispatchSettings
from tests.factories import mail
from tests.fakes.handlers import MemoryHandler
from tests.fakes.world import World
from tests.waiting import eventually


@pytest.fixture
def ready(world: World) -> World:
    """One mail, two handlers, two deliveries queued."""
    world.handlers["other"] = MemoryHandler()
    world.rulebook.save_handler(HandlerSpec(name="other", kind="other"))
    world.rulebook.save_rule(Rule(name="both", match=Match(account=("*",)), handlers=("inbox", "other")))
    world.deliver(mail())
    world.poll()
    world.process()
    return world


def handler(world: World, name: str) -> MemoryHandler:
    found = world.handlers[name]
    assert isinstance(found, MemoryHandler)
    return found


def states(world: World) -> dict[str, DeliveryState]:
    return {delivery.handler: delivery.state for delivery in world.outbox.deliveries()}


def delivery_to(world: World, name: str) -> Delivery:
    [found] = world.outbox.deliveries(handler=name)
    return found


def try_again(world: World) -> None:
    """Let a day pass, sweep, deliver."""
    world.wait(days=1)
    world.sweeper.sweep()
    world.dispatch()


def test_failing_handler_does_not_stop_the_other(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerError("not_accepted")]

    ready.dispatch()

    assert states(ready) == {"inbox": DeliveryState.PENDING, "other": DeliveryState.DELIVERED}


def test_handler_failing_three_times_gets_it_on_the_fourth(ready: World) -> None:
    inbox = handler(ready, "inbox")
    inbox.failures = [HandlerError("not_accepted")] * 3

    ready.dispatch()
    for _ in range(3):
        try_again(ready)

    assert len(inbox.taken) == 1
    assert len({consignment.id for consignment in inbox.tries}) == 1
    assert len({consignment.document for consignment in inbox.tries}) == 1
    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_too_many_failures_end_in_dead(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerError("not_accepted", answer="never")] * 9

    ready.dispatch()
    for _ in range(6):
        try_again(ready)

    dead = delivery_to(ready, "inbox")
    assert dead.state is DeliveryState.DEAD
    assert "never" in (in_english(dead.error) or "")
    assert len(handler(ready, "inbox").tries) == 4


def test_refusal_is_dead_at_once(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerRefusedError("gone")]

    ready.dispatch()

    assert delivery_to(ready, "inbox").state is DeliveryState.DEAD


def test_dead_delivery_can_be_retried(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerRefusedError("gone")]
    ready.dispatch()

    changed = ready.outbox.retry_deliveries([delivery_to(ready, "inbox").id])
    ready.dispatcher.deliver(changed)

    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_busy_receiver_is_not_counted_against_the_delivery(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerError("slots_taken", busy=True, retry_after=2)] * 20

    ready.dispatch()
    for _ in range(20):
        try_again(ready)

    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_bug_in_a_foreign_handler_is_its_own_trouble(ready: World) -> None:
    """And its author finds the traceback in the log."""
    oops = KeyError("oops")
    handler(ready, "inbox").failures = [oops]

    with capture_logs() as told:
        ready.dispatch()

    assert states(ready) == {"inbox": DeliveryState.PENDING, "other": DeliveryState.DELIVERED}
    assert "oops" in (delivery_to(ready, "inbox").error or "")
    assert [line["exc_info"] for line in told if line["event"] == "delivery.postponed"] == [oops]


def test_what_is_for_a_disabled_handler_waits_and_goes_on_when_it_is_enabled(ready: World) -> None:
    """Disabled for maintenance, a handler lost what came meanwhile."""
    ready.rulebook.save_handler(HandlerSpec(name="inbox", kind="inbox", enabled=False))
    ready.dispatch()
    for _ in range(12):
        try_again(ready)

    waiting = delivery_to(ready, "inbox")
    assert (waiting.state, waiting.failures, waiting.attempts) == (DeliveryState.PENDING, 0, 0)
    assert (waiting.held, waiting.error_code) == (True, "handler_disabled")
    assert delivery_to(ready, "other").state is DeliveryState.DELIVERED

    ready.rulebook.save_handler(HandlerSpec(name="inbox", kind="inbox"))
    ready.sweeper.sweep()
    ready.dispatch()

    gone = delivery_to(ready, "inbox")
    assert (gone.state, gone.held, gone.error_code) == (DeliveryState.DELIVERED, False, None)


def test_a_held_delivery_is_offered_to_nobody_and_noted_once(ready: World) -> None:
    ready.rulebook.save_handler(HandlerSpec(name="inbox", kind="inbox", enabled=False))
    ready.dispatch()
    held = delivery_to(ready, "inbox")

    for _ in range(5):
        ready.wait(hours=1)
        ready.sweeper.sweep()
        assert held.id not in ready.queue.deliveries
        ready.dispatcher.deliver([held.id])

    steps = [step.what for step in ready.ledger.trail(held.message_id)]
    assert steps.count("delivery.held") == 1


def test_what_is_for_an_unknown_handler_waits_with_what_to_do(ready: World) -> None:
    ready.rulebook.remove_handler("inbox")
    ready.dispatch()

    waiting = delivery_to(ready, "inbox")
    assert (waiting.state, waiting.error_code) == (DeliveryState.PENDING, "handler_missing")
    assert "concord apply" in (in_english(waiting.error) or "")

    ready.rulebook.save_handler(HandlerSpec(name="inbox", kind="inbox"))
    ready.sweeper.sweep()
    ready.dispatch()

    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_delivering_twice_delivers_once(ready: World) -> None:
    ids = list(ready.queue.deliveries)

    ready.dispatcher.deliver(ids)
    ready.dispatcher.deliver(ids)

    assert len(handler(ready, "inbox").taken) == 1


def test_worker_killed_while_delivering_is_tried_again(ready: World) -> None:
    """The claim lapses, the sweep finds it, and the id is the same, so that the receiver can tell."""
    ids = list(ready.queue.deliveries)
    assert len(ready.outbox.claim_deliveries(ids, until=ready.time)) == 2
    ready.queue.clear()

    try_again(ready)
    try_again(ready)

    assert states(ready) == {"inbox": DeliveryState.DELIVERED, "other": DeliveryState.DELIVERED}


def test_delivery_that_kills_each_worker_ends_dead(ready: World) -> None:
    """P16's rule for handlers: a death counts where the delivery was alone in its handler."""
    ids = list(ready.queue.deliveries)
    for _ in range(5):
        for known in ids:
            [claimed] = ready.outbox.claim_deliveries([known], until=ready.time)
            ready.outbox.enter_delivery(claimed, "handler")
        ready.wait(hours=1)

    for known in ids:
        ready.dispatcher.deliver([known])

    assert states(ready) == {"inbox": DeliveryState.DEAD, "other": DeliveryState.DEAD}
    assert handler(ready, "inbox").tries == []


def test_delivery_whose_claims_lapse_outside_its_handler_is_not_blamed(ready: World) -> None:
    """A database that is locked for half an hour, or a worker that is stopped again and again."""
    ids = list(ready.queue.deliveries)
    for _ in range(10):
        for known in ids:
            assert ready.outbox.claim_deliveries([known], until=ready.time)
        ready.wait(hours=1)

    for known in ids:
        ready.dispatcher.deliver([known])

    assert states(ready) == {"inbox": DeliveryState.DELIVERED, "other": DeliveryState.DELIVERED}
    assert {delivery.failures for delivery in ready.outbox.deliveries()} == {0}


def test_slow_receivers_leave_the_rest_for_the_next_turn(ready: World) -> None:
    """A thread is not held until the claims lapse: what there was no time for is queued again, uncounted."""
    slow = SlowHandler(ready)
    ready.handlers["inbox"] = ready.handlers["other"] = slow
    for _ in range(3):
        ready.deliver(mail())
    ready.poll()
    ready.process()

    assert ready.dispatch() == 2
    assert {delivery.failures for delivery in ready.outbox.deliveries()} == {0}
    while ready.queue.deliveries:
        ready.dispatch()

    assert set(states(ready).values()) == {DeliveryState.DELIVERED}
    assert len(set(slow.taken)) == len(slow.taken) == 8


class SlowHandler:
    """Takes 40 seconds for each event."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.taken: list[str] = []

    def deliver(self, consignment: Consignment) -> dict[str, object]:
        self._world.wait(seconds=40)
        self.taken.append(consignment.id)
        return {}


def test_a_key_that_does_not_fit_kills_no_delivery_and_counts_no_attempt(ready: World) -> None:
    """Issue 9, B: a wrong key is infrastructure."""
    handler(ready, "inbox").failures = [SecretKeyError("wrong")] * 9

    ready.dispatch()
    for _ in range(8):
        try_again(ready)

    waiting = delivery_to(ready, "inbox")
    assert (waiting.state, waiting.failures) == (DeliveryState.PENDING, 0)
    try_again(ready)
    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


class LockedOutbox(SqlOutbox):
    """The database takes no outcome while `locked`: somebody has locked the trail."""

    locked = True

    def delivered(self, delivery: Delivery, detail: Mapping[str, object]) -> bool:
        self._refuse()
        return super().delivered(delivery, detail)

    def delivery_retry(self, delivery: Delivery, error: Exception, *, due_at: datetime, counts: bool = True) -> None:
        self._refuse()
        super().delivery_retry(delivery, error, due_at=due_at, counts=counts)

    def _refuse(self) -> None:
        if self.locked:
            raise DatabaseDownError("refused", cause="canceling statement due to lock timeout")


def test_what_a_receiver_took_is_not_sent_again_while_the_trail_is_locked(ready: World) -> None:
    """One delivery was sent ten times, accepted each time, and ended dead; its neighbours died without one attempt."""
    outbox = LockedOutbox(ready.engine, ready.clock)
    ready.outbox = outbox
    ready.serving = ready.make_serving()
    ids = list(ready.queue.deliveries)

    for _ in range(12):
        with suppress(DatabaseDownError):
            ready.dispatcher.deliver(ids)
        with suppress(DatabaseDownError):
            ready.serving.hands.renew()
        ready.wait(minutes=1)

    sent = [*handler(ready, "inbox").tries, *handler(ready, "other").tries]
    assert len(sent) == len({one.id for one in sent})
    assert all(delivery.failures == 0 for delivery in ready.outbox.deliveries())

    outbox.locked = False
    ready.serving.hands.renew()
    ready.dispatcher.deliver(ids)

    assert set(states(ready).values()) == {DeliveryState.DELIVERED}
    assert len(handler(ready, "inbox").tries) == len(handler(ready, "other").tries) == 1


def test_a_failure_that_cannot_be_recorded_is_recorded_once_the_database_answers(ready: World) -> None:
    outbox = LockedOutbox(ready.engine, ready.clock)
    ready.outbox = outbox
    ready.serving = ready.make_serving()
    handler(ready, "inbox").failures = [HandlerError("not_accepted")]
    with suppress(DatabaseDownError):
        ready.dispatch()
    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERING

    outbox.locked = False
    ready.serving.hands.renew()

    failed = delivery_to(ready, "inbox")
    assert (failed.state, failed.failures) == (DeliveryState.PENDING, 1)


class StoppedHandler:
    """The worker is told to stop while it has a delivery in hand."""

    def deliver(self, _consignment: Consignment) -> dict[str, object]:
        raise SystemExit(0)


def test_whatever_way_a_batch_ends_what_is_not_settled_is_given_back_uncounted(ready: World) -> None:
    ready.handlers["inbox"] = StoppedHandler()
    ready.handlers["other"] = MemoryHandler()

    with pytest.raises(SystemExit):
        ready.dispatch()

    assert set(states(ready).values()) == {DeliveryState.PENDING}
    assert {(one.failures, one.suspect) for one in ready.outbox.deliveries()} == {(0, False)}


def test_claim_is_renewed_as_long_as_the_handler_takes(ready: World) -> None:
    """Longer than a claim, an entry-point handler ran many times beside itself."""
    others: list[int] = []

    class Long:
        def deliver(self, _consignment: Consignment) -> dict[str, object]:
            for _ in range(20):
                ready.wait(minutes=1)
                ready.serving.hands.renew()
                others.extend(one.id for one in ready.outbox.claim_deliveries(ids, until=ready.time))
            return {}

    ids = [delivery_to(ready, "inbox").id]
    ready.handlers["inbox"] = Long()
    ready.dispatcher.deliver(ids)

    assert others == []
    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED
    assert delivery_to(ready, "inbox").attempts == 1


class Hanging:
    """Comes back when it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0

    def deliver(self, _consignment: Consignment) -> dict[str, object]:
        self.calls += 1
        assert self.go.wait(60)
        return {}


@pytest.fixture
def hanging(ready: World) -> Iterator[Hanging]:
    """The handler `inbox` hangs, may take half a second, and one thread at a time."""
    ready.dispatch_settings = DispatchSettings(max_attempts=4).model_copy(update={"handler_time_limit": 0.5})
    ready.serving = ready.make_serving(share=1)
    found = Hanging()
    ready.handlers["inbox"] = found
    yield found
    found.go.set()


def test_handler_over_its_time_has_failed_and_its_late_answer_counts_no_more(ready: World, hanging: Hanging) -> None:
    ready.dispatch()

    late = delivery_to(ready, "inbox")
    assert (late.state, late.failures, late.error_code) == (DeliveryState.PENDING, 1, "handler_time_limit")
    assert delivery_to(ready, "other").state is DeliveryState.DELIVERED
    hanging.go.set()
    assert eventually(lambda: not ready.serving.deliveries.lanes.is_full("inbox"))
    assert delivery_to(ready, "inbox").failures == 1
    assert delivery_to(ready, "inbox").state is DeliveryState.PENDING


def test_handler_over_its_time_keeps_its_thread_until_it_ends(ready: World, hanging: Hanging) -> None:
    """A thread cannot be killed: handlers that hang must not use up thread after thread."""
    ready.dispatch()
    for _ in range(3):
        try_again(ready)
    assert hanging.calls == 1
    assert delivery_to(ready, "inbox").failures == 1

    hanging.go.set()
    assert eventually(lambda: not ready.serving.deliveries.lanes.is_full("inbox"))
    try_again(ready)

    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_urgent_delivery_is_next_with_a_thousand_waiting(ready: World) -> None:
    """P10: a high mail's event stood at place 1,001."""
    for number in range(30):
        ready.deliver(mail(f"Normal {number}"))
    ready.poll()
    ready.process()
    waiting = ready.outbox.waiting_deliveries(ready.queue.deliveries)
    to_inbox = sorted((ref for ref in waiting if ref.lane == "inbox"), key=lambda ref: ref.id)
    others = [replace(to_inbox[0], id=number) for number in range(10_000, 11_000)]
    ready.serving.deliveries.lanes.add([*others, *to_inbox[:-1]])

    ready.serving.deliveries.lanes.add([replace(to_inbox[-1], priority=Priority.HIGH)])
    ready.dispatcher.deliver([to_inbox[0].id])

    assert handler(ready, "inbox").tries[0].event["data"]["subject"] == "Normal 29"
