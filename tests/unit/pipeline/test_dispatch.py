"""Deliveries: each with its own retries; each ends delivered or dead (P8)."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from concord.errors import HandlerError, HandlerRefusedError, SecretKeyError
from concord.model.delivery import Delivery, DeliveryState
from concord.model.rule import HandlerSpec, Match, Rule
from concord.ports import Consignment
from tests.factories import mail
from tests.fakes.handlers import MemoryHandler
from tests.fakes.world import World


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
    handler(ready, "inbox").failures = [HandlerError("not now")]

    ready.dispatch()

    assert states(ready) == {"inbox": DeliveryState.PENDING, "other": DeliveryState.DELIVERED}


def test_handler_failing_three_times_gets_it_on_the_fourth(ready: World) -> None:
    inbox = handler(ready, "inbox")
    inbox.failures = [HandlerError("not now")] * 3

    ready.dispatch()
    for _ in range(3):
        try_again(ready)

    assert len(inbox.taken) == 1
    assert len({consignment.id for consignment in inbox.tries}) == 1
    assert len({consignment.document for consignment in inbox.tries}) == 1
    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_too_many_failures_end_in_dead(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerError("never", remedy="Mend it")] * 9

    ready.dispatch()
    for _ in range(6):
        try_again(ready)

    dead = delivery_to(ready, "inbox")
    assert dead.state is DeliveryState.DEAD
    assert "never" in (dead.error or "")
    assert len(handler(ready, "inbox").tries) == 4


def test_refusal_is_dead_at_once(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerRefusedError("410 Gone")]

    ready.dispatch()

    assert delivery_to(ready, "inbox").state is DeliveryState.DEAD


def test_dead_delivery_can_be_retried(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerRefusedError("410 Gone")]
    ready.dispatch()

    changed = ready.outbox.retry_deliveries([delivery_to(ready, "inbox").id])
    ready.dispatcher.deliver(changed)

    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED


def test_busy_receiver_is_not_counted_against_the_delivery(ready: World) -> None:
    handler(ready, "inbox").failures = [HandlerError("busy", busy=True, retry_after=2)] * 20

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


def test_unknown_handler_is_dead_with_what_to_do(ready: World) -> None:
    ready.rulebook.remove_handler("inbox")

    ready.dispatch()

    dead = delivery_to(ready, "inbox")
    assert dead.state is DeliveryState.DEAD
    assert "concord apply" in (dead.error or "")


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
    assert len(ready.queue.deliveries) == 6
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
    handler(ready, "inbox").failures = [SecretKeyError("The key does not open this secret")] * 9

    ready.dispatch()
    for _ in range(8):
        try_again(ready)

    waiting = delivery_to(ready, "inbox")
    assert (waiting.state, waiting.failures) == (DeliveryState.PENDING, 0)
    try_again(ready)
    assert delivery_to(ready, "inbox").state is DeliveryState.DELIVERED
