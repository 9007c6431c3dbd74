"""The backfill: a task of its own, in slices that end where a poll waits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from concord.model.account import AccountState, Priority
from concord.model.rule import Match, Rule
from concord.pipeline.backfill import Backfiller
from concord.pipeline.poll import PollOutcome
from concord.settings import PollSettings
from tests.factories import mail
from tests.fakes.world import World


def fill(world: World, count: int) -> None:
    """So many mails were there before the account began."""
    world.poll_settings = PollSettings(interval=60, budget=50, batch_messages=5)
    for number in range(count):
        world.deliver(mail(f"Old {number}"))


def test_a_poll_leaves_old_mail_to_a_task_of_its_own(world: World) -> None:
    """P13, A7."""
    fill(world, 12)

    report = world.poller.poll(world.account.id)

    assert (report.outcome, report.archived, report.backfill) == (PollOutcome.DONE, 0, True)
    assert world.queue.backfills == [world.account.id]
    assert world.messages() == []


def test_each_poll_queues_what_is_left_of_it_and_none_when_it_is_done(world: World) -> None:
    """A slice that was lost with its worker or with Redis is made good by the next poll."""
    fill(world, 3)
    world.poller.poll(world.account.id)
    world.queue.clear()
    world.poller.poll(world.account.id)
    assert world.queue.backfills == [world.account.id]
    world.queue.clear()

    world.backfiller.backfill(world.account.id)
    world.poller.poll(world.account.id)

    assert world.queue.backfills == []
    assert len(world.messages()) == 3


def test_a_slice_ends_and_the_next_goes_on(world: World) -> None:
    fill(world, 20)
    world.poller.poll(world.account.id)
    world.mailbox.before_fetch = lambda _uid: world.wait(seconds=1)

    first = world.backfiller.backfill(world.account.id)
    outcomes = [world.backfiller.backfill(world.account.id).outcome for _ in range(2)]

    assert (first.outcome, first.archived) == (PollOutcome.PARTIAL, 10)  # ten seconds, two batches
    assert outcomes == [PollOutcome.DONE, PollOutcome.DONE]
    assert len(world.messages()) == 20


def test_a_slice_gives_way_to_a_poll_of_its_account(world: World) -> None:
    """A7: the poll finds the lease taken; the slice ends after its batch and queues the poll again."""
    fill(world, 20)
    world.poller.poll(world.account.id)
    polled: list[PollOutcome] = []

    def poll_meanwhile(_uid: int) -> None:
        world.mailbox.before_fetch = None
        polled.append(world.poller.poll(world.account.id).outcome)

    world.mailbox.before_fetch = poll_meanwhile
    report = world.backfiller.backfill(world.account.id)

    assert polled == [PollOutcome.BUSY]
    assert (report.outcome, report.archived) == (PollOutcome.PARTIAL, 5)
    assert world.queue.polls == [world.account.id]
    assert world.poller.poll(world.account.id).outcome is PollOutcome.DONE
    assert world.backfiller.backfill(world.account.id).archived == 15


def test_a_poll_that_finds_the_lease_given_back_just_now_takes_it(world: World) -> None:
    """The slice ended between the poll's look and its asking: nobody would call it again."""
    lease = world.accounts.lease(world.account.id, until=world.time + timedelta(seconds=65), background=True)
    assert lease is not None
    accounts = world.accounts
    wait = accounts.wait_to_poll

    def given_back_before(account_id: int) -> bool:
        accounts.release(lease)
        return wait(account_id)

    accounts.wait_to_poll = given_back_before  # type: ignore[method-assign]  # forces the race

    assert world.poller.poll(world.account.id).outcome is PollOutcome.DONE


def test_new_mail_comes_in_while_the_backfill_goes_on(world: World) -> None:
    """P13: the poll does not wait for old mail."""
    fill(world, 20)
    world.poller.poll(world.account.id)
    world.deliver(mail("Today"))

    report = world.poller.poll(world.account.id)

    assert report.archived == 1
    assert world.subjects() == ["Today"]


def test_old_urgent_mail_waits_behind_todays(world: World) -> None:
    """P13: `X-Priority: 1` of last year is no reason to be first."""
    world.deliver(mail("Old", X_Priority="1"))
    world.poll()
    world.deliver(mail("Today"))
    world.poll()

    assert {message.subject: message.priority for message in world.messages()} == {
        "Old": Priority.LOW,
        "Today": Priority.NORMAL,
    }


def test_deliveries_of_old_urgent_mail_wait_behind_todays(world: World) -> None:
    """P13: its event says how urgent it was; its deliveries do not go before those of new mail."""
    world.deliver(mail("Old", X_Priority="1"))
    world.poll()

    world.process()

    (delivery,) = world.outbox.deliveries()
    event = world.outbox.event(delivery.event_id)
    assert delivery.priority is Priority.LOW
    assert json.loads(world.archive.read(event.archive_key))["data"]["priority"] == "high"


def test_a_rule_may_say_that_old_mail_is_urgent(world: World) -> None:
    world.rulebook.save_rule(Rule(name="first", match=Match(subject=("Old*",)), priority=Priority.HIGH))
    world.deliver(mail("Old"))
    world.poll()

    assert world.messages()[0].priority is Priority.HIGH


def test_failing_account_is_not_backfilled(world: World) -> None:
    """The poll asks the server again when its time has come."""
    fill(world, 3)
    world.poller.poll(world.account.id)
    world.mailbox.denied = True
    world.poller.poll(world.account.id)

    assert world.accounts.status(world.account.id).state is AccountState.AUTH_FAILED
    assert world.backfiller.backfill(world.account.id).outcome is PollOutcome.WAITING


def test_slice_that_cannot_reach_the_server_changes_no_state_and_gives_the_lease_back(world: World) -> None:
    fill(world, 3)
    world.poller.poll(world.account.id)
    before = world.accounts.status(world.account.id)
    world.mailbox.denied = True

    report = world.backfiller.backfill(world.account.id)

    assert report.outcome is PollOutcome.FAILED
    assert world.accounts.status(world.account.id) == before
    assert world.accounts.lease(world.account.id, until=world.time + timedelta(seconds=30)) is not None


def test_account_that_was_switched_off_is_not_backfilled(world: World) -> None:
    fill(world, 3)
    world.poller.poll(world.account.id)
    world.change_account(enabled=False)

    assert world.backfiller.backfill(world.account.id).outcome is PollOutcome.DISABLED
    assert world.backfiller.backfill(4711).outcome is PollOutcome.DISABLED


def test_two_slices_at_once_take_nothing_twice(world: World) -> None:
    fill(world, 3)
    world.poller.poll(world.account.id)
    second: list[PollOutcome] = []

    def meanwhile(_uid: int) -> None:
        world.mailbox.before_fetch = None
        backfiller = Backfiller(ports=replace(world.poll_ports), sources=world.mailboxes)
        second.append(backfiller.backfill(world.account.id).outcome)

    world.mailbox.before_fetch = meanwhile
    world.backfiller.backfill(world.account.id)

    assert second == [PollOutcome.BUSY]
    assert len(world.messages()) == 3
