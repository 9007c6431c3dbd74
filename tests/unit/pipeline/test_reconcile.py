"""The ledger is compared with the server: what is there and should be ours has a row (O7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import delete

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import messages, trail
from concord.model.account import AfterAction, AfterKind, FolderCursor, StartKind, StartPoint
from concord.model.message import MessageState
from concord.pipeline import listing
from tests.factories import mail
from tests.fakes.world import USER, World


@pytest.fixture
def world() -> World:
    """With five mails, all taken."""
    world = World()
    for number in range(5):
        world.deliver(mail(f"Mail {number + 1}"))
    world.poll()
    return world


def look(world: World) -> int | None:
    return world.reconciler.reconcile(world.account.id)


def lose(world: World, *uids: int) -> None:
    """The rows go, as after a restore of an older backup of the database."""
    lost = [message.id for message in world.messages() if message.uid in uids]
    with transaction(world.engine) as connection:
        connection.execute(delete(trail).where(trail.c.message_id.in_(lost)))
        connection.execute(delete(messages).where(messages.c.id.in_(lost)))


def cursor(world: World, folder: str = "INBOX") -> FolderCursor:
    return world.accounts.cursors(world.account.id)[folder]


def put(world: World, changed: FolderCursor) -> None:
    lease = world.accounts.lease(world.account.id, until=world.clock() + timedelta(seconds=1))
    assert lease is not None
    world.accounts.save_cursor(lease, changed)
    world.accounts.release(lease)


def begin_anew(world: World, start: StartPoint) -> None:
    """Another account on the same mailbox, with that start point."""
    world.account = world.add_account("again", start=start)


def test_everything_taken_leaves_nothing_unaccounted(world: World) -> None:
    assert look(world) == 0

    status = world.accounts.status(world.account.id)
    assert (status.unaccounted, status.reconciled_at) == (0, world.clock())


def test_lost_rows_are_found_and_their_mail_is_fetched_again(world: World) -> None:
    lose(world, 2, 4)

    assert look(world) == 2
    assert [message.uid for message in world.messages(MessageState.UNFETCHED)] == [2, 4]
    world.wait(minutes=6)
    world.poll()
    assert sorted(message.uid for message in world.messages(MessageState.ARCHIVED)) == [1, 2, 3, 4, 5]
    assert look(world) == 0


def test_cursor_that_ran_ahead_is_found_out(world: World) -> None:
    for number in range(3):
        world.deliver(mail(f"Late {number}"))
    put(world, replace(cursor(world), last_uid=7))

    assert look(world) == 2
    world.wait(minutes=6)
    world.poll()
    assert world.subjects()[5:7] == ["Late 0", "Late 1"]


def test_new_mail_that_no_poll_has_seen_is_not_missing(world: World) -> None:
    world.deliver(mail())

    assert look(world) == 0


def test_mail_removed_from_the_server_counts_for_nothing(world: World) -> None:
    lose(world, 2, 3)
    world.mailboxes.expunge(USER, [2])

    assert look(world) == 1


def test_what_the_backfill_has_still_to_fetch_is_not_missing(world: World) -> None:
    lose(world, 1, 2, 3)
    put(world, replace(cursor(world), backfill_next=4))

    assert look(world) == 0


def test_mail_from_before_an_account_that_begins_with_new_mail_is_not_missing(world: World) -> None:
    begin_anew(world, StartPoint(kind=StartKind.NEW))
    world.poll()
    world.deliver(mail("New"))
    world.poll()

    assert look(world) == 0
    lose(world, 6)
    world.wait(hours=2)
    world.poll()
    assert look(world) == 1


def test_mail_from_before_the_day_to_begin_with_is_not_missing(world: World) -> None:
    old = world.clock() - timedelta(days=40)
    late_comer = world.mailboxes.deliver(USER, mail("Old, copied in late"), internal_date=old)
    wanted = world.deliver(mail("Wanted"))
    begin_anew(world, StartPoint(kind=StartKind.SINCE, since=date(2026, 11, 1)))
    world.poll()
    after = world.mailboxes.deliver(USER, mail("Old, copied in since"), internal_date=old)
    world.poll()

    assert look(world) == 0
    assert late_comer not in {message.uid for message in world.messages() if message.account == "again"}
    lose(world, wanted, after)
    world.wait(hours=2)
    world.poll()
    assert look(world) == 2


def test_start_point_that_was_changed_later_asks_for_no_older_mail(world: World) -> None:
    """What was already polled is not polled again."""
    begin_anew(world, StartPoint(kind=StartKind.NEW))
    world.poll()
    world.change_account(start=StartPoint(kind=StartKind.ALL))

    assert look(world) == 0


def test_renumbered_folder_is_left_to_the_poll(world: World) -> None:
    lose(world, 2)
    world.mailboxes.reset_uidvalidity(USER)

    assert look(world) == 0
    world.poll()
    world.wait(hours=2)
    world.poll()
    assert look(world) == 0
    assert len(world.messages()) == 5


def test_unreadable_and_quarantined_mail_is_accounted_for(world: World) -> None:
    world.mailbox.unreadable.add(world.deliver(mail()))
    world.poll()

    assert world.messages(MessageState.UNFETCHED)
    assert look(world) == 0


def test_folder_that_mail_is_moved_to_is_no_source(world: World) -> None:
    world.change_account(folders=("*",), after=AfterAction(kind=AfterKind.MOVE, folder="Done"))
    world.mailboxes.deliver(USER, mail(), "Done")

    assert look(world) == 0


def test_failing_account_is_not_asked(world: World) -> None:
    """Its state tells; it is asked as soon as it works."""
    lose(world, 2)
    world.mailbox.down = True
    world.poll()
    world.mailbox.down = False

    assert look(world) is None
    world.poll(forced=True)
    assert look(world) == 1


def test_server_that_fails_meanwhile_leaves_the_last_finding(world: World) -> None:
    look(world)
    world.wait(hours=2)
    world.mailbox.down = True

    assert look(world) is None
    assert world.accounts.status(world.account.id).unaccounted == 0


def test_look_that_takes_too_long_is_told_as_unknown(world: World) -> None:
    look(world)
    world.wait(hours=2)
    world.poll_settings = world.poll_settings.model_copy(update={"budget": 0})

    assert look(world) is None
    status = world.accounts.status(world.account.id)
    assert (status.unaccounted, status.reconciled_at) == (None, world.clock())


def test_poll_under_way_is_left_alone_and_the_next_look_has_it_fetched(world: World) -> None:
    lose(world, 2)
    lease = world.accounts.lease(world.account.id, until=world.clock() + timedelta(minutes=1))
    assert lease is not None

    assert look(world) == 1
    assert not world.messages(MessageState.UNFETCHED)
    world.accounts.release(lease)
    world.wait(minutes=6)
    assert look(world) == 1
    assert len(world.messages(MessageState.UNFETCHED)) == 1


def test_poll_keeps_what_the_look_has_found(world: World) -> None:
    lose(world, 2)
    look(world)
    world.poll()

    assert world.accounts.status(world.account.id).unaccounted == 1


def test_big_folder_is_compared_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "WINDOW", 2)
    lose(world, 1, 3, 5)

    assert look(world) == 3


def test_each_account_is_looked_at_once_an_hour_and_sooner_while_mail_is_missing(world: World) -> None:
    begun = []
    for minutes in (0, 10, 50):
        world.wait(minutes=minutes)
        begun.append(world.reconciler.begin())
        look(world)
    lose(world, 2)
    world.wait(minutes=60)
    look(world)
    for minutes in (4, 1):
        world.wait(minutes=minutes)
        begun.append(world.reconciler.begin())

    assert begun == [1, 0, 1, 0, 1]
    assert set(world.queue.reconciliations) == {world.account.id}


def test_second_look_at_once_asks_nobody(world: World) -> None:
    """A task may run twice."""
    look(world)
    opened = world.mailbox.opened

    assert look(world) is None
    assert world.mailbox.opened == opened


def test_disabled_and_removed_accounts_are_not_looked_at(world: World) -> None:
    world.change_account(enabled=False)

    assert world.reconciler.begin() == 0
    assert look(world) is None
    assert world.reconciler.reconcile(999) is None
