"""A folder that the server renumbers brings no old mail again and hides no new mail (P15)."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from concord.model.account import StartKind, StartPoint
from concord.model.message import Message
from concord.ports import MessageFilter
from tests.factories import mail
from tests.fakes.world import USER, World

# P15 names 10,000 old mails and 50 new ones: that size takes minutes, so it runs with RENUMBERED_MAILS=10000 only.
OLD = int(os.environ.get("RENUMBERED_MAILS", "160"))
NEW = 50


class Killed(BaseException):
    """The worker is killed: nothing that is ours handles that."""


@pytest.fixture
def world() -> World:
    """Every mail is processed, the server renumbers the folder, and new mail came."""
    world = World()
    for number in range(OLD):
        world.deliver(mail(f"Old {number}"))
    settle(world)
    world.process()
    world.mailboxes.reset_uidvalidity(USER)
    for number in range(NEW):
        world.deliver(mail(f"New {number}"))
    return world


def settle(world: World) -> None:
    """Poll until nothing is left of the backfill."""
    for _ in range(OLD // 100 + 9):
        world.wait(minutes=3)
        world.poll(forced=True)
        if world.accounts.cursors(world.account.id)["INBOX"].backfill_next is None:
            return
    raise AssertionError("the backfill does not end")


def subjects(world: World) -> list[str]:
    """Of the messages that become events now."""
    waiting = {ref.id for ref in world.queue.messages}
    found = sorted(str(message.subject) for message in everything(world) if message.id in waiting)
    assert world.process() == len(found)
    return found


def everything(world: World) -> list[Message]:
    return world.ledger.search(MessageFilter(limit=2 * (OLD + NEW)))


EXPECTED = sorted(f"New {number}" for number in range(NEW))


def test_only_new_mail_becomes_events(world: World) -> None:
    settle(world)

    assert subjects(world) == EXPECTED
    assert len(everything(world)) == OLD + NEW
    assert {message.uidvalidity for message in everything(world)} == {2}
    world.wait(hours=2)
    world.poll()
    assert world.reconciler.reconcile(world.account.id) == 0


@pytest.mark.parametrize("at", [OLD + NEW - 5, OLD + 5, OLD // 2, 3])
def test_kill_while_the_folder_is_read_again_changes_nothing(world: World, at: int) -> None:
    """Wherever it comes: while new mail is read, at the seam, among the old mail, near the end."""

    def kill(uid: int) -> None:
        if uid == at:
            world.mailbox.before_fetch = None
            raise Killed

    world.mailbox.before_fetch = kill
    with pytest.raises(Killed):
        settle(world)
    settle(world)

    assert subjects(world) == EXPECTED
    assert len(everything(world)) == OLD + NEW


def test_kill_after_a_commit_leaves_the_rest_to_the_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and cursor are committed, and nothing was queued."""

    def kill(_refs: object) -> None:
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr(world.queue, "process", kill)
        with pytest.raises(Killed):
            settle(world)
    settle(world)
    world.sweeper.sweep()

    assert subjects(world) == EXPECTED


def test_renumbering_twice_in_a_row_changes_nothing(world: World) -> None:
    """The second one comes before the first one is read to its end."""

    def cut(uid: int) -> None:
        if uid == OLD // 2:
            world.mailbox.before_fetch = None
            raise Killed

    world.mailbox.before_fetch = cut
    with pytest.raises(Killed):
        settle(world)
    world.mailboxes.reset_uidvalidity(USER)
    settle(world)

    assert subjects(world) == EXPECTED
    assert len(everything(world)) == OLD + NEW


def test_account_that_begins_with_new_mail_gets_its_new_mail_only() -> None:
    world = World()
    world.change_account(start=StartPoint(kind=StartKind.NEW))
    for number in range(OLD):
        world.deliver(mail(f"Before {number}"), age=timedelta(days=3))
    settle(world)
    for number in range(NEW):
        world.deliver(mail(f"Known {number}"))
    settle(world)
    world.process()
    world.mailboxes.reset_uidvalidity(USER)
    for number in range(NEW):
        world.deliver(mail(f"New {number}"))
    settle(world)

    assert subjects(world) == EXPECTED
