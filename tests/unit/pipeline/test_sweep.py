"""The sweep finds what stands still, and leaves alone what is under way (P5)."""

from __future__ import annotations

from tests.factories import mail
from tests.fakes.world import World


def test_emptied_redis_delays_mail_and_loses_none(world: World) -> None:
    world.deliver(mail())
    world.poll()
    world.queue.clear()
    world.wait(seconds=16)

    assert world.sweeper.sweep().messages == 1
    assert world.process() == 1
    world.queue.clear()
    world.wait(seconds=16)
    assert world.sweeper.sweep().deliveries == 1
    assert world.dispatch() == 1


def test_long_queue_is_not_taken_for_a_lost_one(world: World) -> None:
    world.deliver(mail())
    world.poll()
    world.wait(seconds=60)

    assert world.sweeper.sweep().messages == 0


def test_even_a_long_queue_is_not_trusted_for_ever(world: World) -> None:
    world.deliver(mail())
    world.poll()
    world.wait(seconds=301)

    assert world.sweeper.sweep().messages == 1


def test_sweeping_twice_queues_once(world: World) -> None:
    world.deliver(mail())
    world.poll()
    world.queue.clear()
    world.wait(seconds=16)
    world.sweeper.sweep()

    assert world.sweeper.sweep().messages == 0


def test_message_in_a_workers_hands_is_left_there(world: World) -> None:
    world.deliver(mail())
    world.poll()
    ids = [ref.id for ref in world.queue.messages]
    world.queue.clear()
    world.ledger.claim(ids, until=world.clock().replace(hour=13))
    world.wait(minutes=10)

    assert world.sweeper.sweep().messages == 0


def test_killed_workers_message_is_queued_again(world: World) -> None:
    world.deliver(mail())
    world.poll()
    ids = [ref.id for ref in world.queue.messages]
    world.queue.clear()
    world.ledger.claim(ids, until=world.clock().replace(minute=1))
    world.wait(minutes=2)

    assert world.sweeper.sweep().messages == 1
    assert world.process() == 1


def test_finished_work_is_never_swept(world: World) -> None:
    world.deliver(mail())
    world.poll()
    world.process()
    world.dispatch()
    world.wait(days=30)

    swept = world.sweeper.sweep()

    assert (swept.messages, swept.deliveries, swept.runs) == (0, 0, 0)
