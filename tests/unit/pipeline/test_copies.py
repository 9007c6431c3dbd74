"""A mail that is moved or copied within its mailbox is the same mail (P24)."""

from __future__ import annotations

import pytest

from concord.model.account import AfterAction, AfterKind, StartKind, StartPoint
from concord.model.message import MessageState
from tests.factories import mail
from tests.fakes.world import USER, World

ONCE = mail("Once")


@pytest.fixture
def world() -> World:
    """Every folder is polled, and one mail is in INBOX."""
    world = World()
    world.change_account(folders=("*",))
    world.deliver(ONCE)
    world.poll()
    world.process()
    return world


def events(world: World) -> int:
    """How many messages become events now."""
    world.poll()
    return world.process()


def test_mail_that_is_filed_makes_no_second_event(world: World) -> None:
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")

    assert events(world) == 0
    original, copy = world.messages()
    assert (copy.state, copy.error_code, copy.folder) == (MessageState.SKIPPED, "copy", "Projects")
    assert copy.archive_key == original.archive_key
    assert world.reconciler.reconcile(world.account.id) == 0


def test_copy_with_another_date_is_archived_once(world: World) -> None:
    """Mail programs that copy by APPEND give it a date of their own."""
    world.wait(days=70)
    world.deliver(ONCE, "Projects")

    assert events(world) == 0
    original, copy = world.messages()
    assert copy.archive_key == original.archive_key
    assert len(list(world.archive.keys("raw/"))) == 1


def test_poll_reports_new_messages_only(world: World) -> None:
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    world.deliver(mail("New"))

    assert world.poll().archived == 1


def test_trace_names_the_mail_it_is_a_copy_of(world: World) -> None:
    """P19."""
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    world.poll()

    original, copy = world.messages()
    [step] = world.ledger.trail(copy.id)
    assert (step.what, step.detail) == ("message.copied", {"copy_of": original.id, "from_folder": "INBOX"})


def test_copy_of_a_copy_names_the_original(world: World) -> None:
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    world.poll()
    world.mailboxes.refile(USER, 1, "Projects", "Attic")
    world.poll()

    original, _, last = world.messages()
    assert world.ledger.trail(last.id)[0].detail["copy_of"] == original.id


def test_mail_that_comes_back_makes_no_second_event(world: World) -> None:
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    world.poll()
    world.wait(hours=1)
    world.mailboxes.refile(USER, 1, "Projects", "INBOX")

    assert events(world) == 0
    assert len(world.messages()) == 3


def test_equal_mail_that_is_delivered_again_is_another_mail(world: World) -> None:
    """Also after the first one was filed: the server got it at another moment."""
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    world.poll()
    world.wait(hours=1)
    world.deliver(ONCE)

    assert events(world) == 1


def test_equal_mails_in_one_folder_are_two_mails(world: World) -> None:
    world.wait(seconds=1)
    world.deliver(ONCE)

    assert events(world) == 1


def test_folder_that_is_renamed_doubles_nothing(world: World) -> None:
    for number in range(5):
        world.deliver(mail(f"Mail {number}"), "Projects")
    assert events(world) == 5
    world.mailboxes.rename_folder(USER, "Projects", "Clients")

    assert events(world) == 0
    world.deliver(mail("Next"), "Clients")
    assert events(world) == 1
    assert world.reconciler.reconcile(world.account.id) == 0


def test_mail_that_is_moved_before_it_was_read_is_one_event(world: World) -> None:
    uid = world.deliver(mail("Quick"))
    world.mailboxes.refile(USER, uid, "INBOX", "Projects")
    assert events(world) == 1
    world.mailboxes.refile(USER, 1, "Projects", "INBOX")

    assert events(world) == 0


def test_equal_mail_of_another_account_is_another_mail(world: World) -> None:
    world.account = world.add_account("also", start=StartPoint(kind=StartKind.ALL))

    assert events(world) == 1


def test_copy_that_could_not_be_read_at_first_is_a_copy(world: World) -> None:
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    world.mailbox.unreadable.add(1)
    world.poll()
    assert world.messages(MessageState.UNFETCHED)
    world.mailbox.unreadable.clear()
    world.wait(hours=1)

    assert events(world) == 0
    assert world.messages()[1].error_code == "copy"


def test_copy_is_left_alone_on_the_server(world: World) -> None:
    """P12: the after-action is the original's."""
    world.change_account(after=AfterAction(kind=AfterKind.DELETE))
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")
    for _ in range(3):
        events(world)

    assert world.mailboxes.flags(USER, "Projects") == {1: ()}


def test_setting_makes_an_event_of_each_copy(world: World) -> None:
    world.poll_settings = world.poll_settings.model_copy(update={"events_for_copies": True})
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")

    assert events(world) == 1


@pytest.mark.parametrize("code", ["archive_missing", "message_gone"])
def test_copy_of_a_mail_that_is_lost_takes_its_place(world: World, code: str) -> None:
    """Where the original's octets are gone, only the copy can become the event."""
    with world.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE messages SET state = 'quarantined', error_code = '{code}'")  # noqa: S608 - the test's own word
    world.mailboxes.refile(USER, 1, "INBOX", "Projects")

    assert events(world) == 1
