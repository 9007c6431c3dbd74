"""Where a folder begins (P13), and which folders there are (P14): what came since the account was added is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from unittest.mock import Mock

import pytest

from concord.errors import MailboxDownError, MailboxProtocolError
from concord.model.account import AccountState, AfterAction, FolderCursor, StartKind, StartPoint
from concord.pipeline.poll import PollOutcome
from concord.pipeline.start import MARGIN
from concord.ports import FolderStatus
from tests.factories import mail
from tests.fakes.mailbox import MemoryFolder, MemorySession
from tests.fakes.world import USER, World

DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """An account that begins with new mail, on a mailbox that already has some."""
    world = World()
    world.change_account(start=StartPoint())
    for number in range(3):
        world.deliver(mail(f"Old {number}"), age=DAY)
    return world


def look(world: World) -> int | None:
    """Reconcile, as if the last time were long ago."""
    world.wait(hours=2)
    world.poll()
    return world.reconciler.reconcile(world.account.id)


def cursor(world: World, folder: str = "INBOX") -> FolderCursor:
    return world.accounts.cursors(world.account.id)[folder]


# `start: new` is a moment.


def test_weekend_behind_a_wrong_password_loses_nothing(world: World) -> None:
    world.mailbox.denied = True
    world.poll()
    for number in range(3):
        world.wait(hours=20)
        world.deliver(mail(f"New {number}"))
    world.mailbox.denied = False

    world.poll(forced=True)

    assert world.subjects() == ["New 0", "New 1", "New 2"]
    assert look(world) == 0


def test_mail_that_makes_its_folder_is_new(world: World) -> None:
    """Sieve and labels make a folder with its first mail."""
    world.change_account(folders=("*",))
    world.poll()
    world.wait(hours=1)
    world.deliver(mail("Invoice"), "Invoices")

    world.poll()

    assert world.subjects() == ["Invoice"]
    assert look(world) == 0


def test_old_mail_in_a_folder_that_is_seen_later_stays_old(world: World) -> None:
    world.change_account(folders=("*",))
    world.poll()
    world.wait(hours=1)
    world.deliver(mail("From last year"), "Attic", age=365 * DAY)
    world.deliver(mail("Since"), "Attic")
    world.deliver(mail("From last year, too"), "Attic", age=365 * DAY)

    world.poll()

    assert world.subjects() == ["Since"]
    assert look(world) == 0


@pytest.mark.parametrize(("earlier", "expected"), [(MARGIN, 1), (MARGIN + timedelta(seconds=1), 0)])
def test_server_whose_clock_is_behind_loses_nothing_within_the_margin(
    world: World, earlier: timedelta, expected: int
) -> None:
    world.deliver(mail("Perhaps new"), age=earlier)

    world.poll()

    assert len(world.messages()) == expected


def test_mail_without_a_date_is_taken(world: World) -> None:
    uid = world.deliver(mail("When?"))
    world.mailbox.folders["INBOX"].messages[uid].internal_date = None

    world.poll()

    assert world.subjects() == ["When?"]


def test_first_look_that_is_cut_goes_on_by_the_same_rule(world: World) -> None:
    world.poll_settings = world.poll_settings.model_copy(update={"batch_messages": 1})
    world.deliver(mail("New 0"))
    world.deliver(mail("Old among new"), age=DAY)
    world.deliver(mail("New 1"))

    def cut(uid: int) -> None:
        if uid == 6:
            raise MailboxDownError("hung_up")

    world.mailbox.before_fetch = cut
    world.poll()
    assert world.subjects() == ["New 0"]
    world.mailbox.before_fetch = None
    world.wait(hours=1)

    world.poll()

    assert world.subjects() == ["New 0", "New 1"]
    assert cursor(world).last_uid == 6
    assert look(world) == 0


def test_what_is_copied_in_after_the_first_look_is_new_whatever_its_date(world: World) -> None:
    """P3: above the cursor, dates say nothing."""
    world.poll()
    world.deliver(mail("Imported"), age=400 * DAY)

    world.poll()

    assert world.subjects() == ["Imported"]


def test_lost_row_of_the_first_look_is_found_missing(world: World) -> None:
    """Reconciliation goes by the same rule."""
    world.deliver(mail("New"))
    world.poll()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM trail")
        connection.exec_driver_sql("DELETE FROM messages")

    assert look(world) == 1


def test_account_that_was_removed_begins_at_the_moment_it_is_added_again(world: World) -> None:
    world.poll()
    world.accounts.remove("bob")
    world.wait(days=3)
    world.deliver(mail("Meanwhile"), age=DAY)
    world.account = world.add_account("bob", start=StartPoint())
    world.deliver(mail("After"))

    world.poll()

    assert world.subjects() == ["After"]


def test_account_remembers_the_moment_it_was_added(world: World) -> None:
    added = world.clock()
    world.wait(days=3)
    world.change_account(host="elsewhere.example.com", enabled=False)
    world.change_account(enabled=True)

    assert world.accounts.get("bob").start_at == added


# INBOX is one folder.


@pytest.mark.parametrize("folders", [("Inbox", "INBOX"), ("inbox",), ("InBox", "INBOX", "inbox")])
def test_inbox_is_one_folder_in_any_spelling(folders: tuple[str, ...]) -> None:
    world = World()
    world.change_account(folders=folders)
    world.deliver(mail("Once"))

    world.poll()
    world.poll()

    assert [(message.folder, message.subject) for message in world.messages()] == [("INBOX", "Once")]


def test_server_that_spells_inbox_otherwise_is_polled_once() -> None:
    world = World()
    world.mailbox.folders["Inbox"] = world.mailbox.folders.pop("INBOX")
    world.deliver(mail("Once"), "Inbox")
    world.poll()
    world.change_account(folders=("*",))

    world.poll()

    assert [(message.folder, message.subject) for message in world.messages()] == [("INBOX", "Once")]


def test_letter_that_only_looks_like_inbox_is_another_folder() -> None:
    world = World()
    world.change_account(folders=("\N{LATIN SMALL LETTER DOTLESS I}nbox",))

    world.poll()

    assert world.accounts.status(world.account.id).state is AccountState.FOLDER_MISSING


def test_mail_is_never_polled_where_it_is_moved_to_however_inbox_is_spelled() -> None:
    world = World()
    world.change_account(folders=("Work", "Inbox"), after=AfterAction.parse("move:inbox"))
    world.mailboxes.create_folder(USER, "Work")
    world.deliver(mail("There already"))

    world.poll()

    assert world.messages() == []


# Every folder.


@pytest.fixture
def full(world: World) -> World:
    """Every folder has a mail of its own name; four have a special use that nobody wants to poll."""
    world.change_account(folders=("*",), start=StartPoint(kind=StartKind.ALL))
    world.mailboxes.expunge(USER, [1, 2, 3])
    uses = {"Alles": "\\all", "Entwürfe": "\\drafts", "Spam": "\\junk", "Papierkorb": "\\trash", "Gesendet": "\\sent"}
    for name, use in uses.items():
        world.mailboxes.create_folder(USER, name, uses=(use, "\\hasnochildren"))
        world.deliver(mail(name), name)
    world.deliver(mail("INBOX"))
    return world


def test_every_folder_leaves_out_all_mail_drafts_junk_and_trash(full: World) -> None:
    full.poll()

    assert sorted(filter(None, full.subjects())) == ["Gesendet", "INBOX"]
    assert look(full) == 0


def test_folder_with_a_special_use_is_polled_by_its_name(full: World) -> None:
    full.change_account(folders=("*", "Spam"))

    full.poll()

    assert sorted(filter(None, full.subjects())) == ["Gesendet", "INBOX", "Spam"]


def test_folders_that_are_named_alone_are_polled_whatever_their_use(full: World) -> None:
    full.change_account(folders=("Papierkorb",))

    full.poll()

    assert full.subjects() == ["Papierkorb"]


# SEARCH that lies.


def found_nothing(_uids: list[int]) -> list[int]:
    return []


def notes(world: World) -> tuple[str, ...]:
    return world.accounts.status(world.account.id).notes


def test_search_that_answers_nothing_hides_no_mail(world: World) -> None:
    """As codefuturist/email-mcp#91 and nextcloud/mail#13590 have met it."""
    world.mailbox.search = found_nothing
    world.deliver(mail("New 0"))
    world.poll()
    world.deliver(mail("New 1"))

    world.poll()

    assert world.subjects() == ["New 0", "New 1"]
    assert notes(world) == ("search_unreliable",)
    assert look(world) == 0


def test_search_that_answers_nothing_hides_no_gap_from_the_reconciliation(world: World) -> None:
    world.deliver(mail("New"))
    world.poll()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM trail")
        connection.exec_driver_sql("DELETE FROM messages")
    world.mailbox.search = found_nothing

    assert look(world) == 1
    assert notes(world) == ("search_unreliable",)


def test_note_goes_when_search_tells_the_truth_again(world: World) -> None:
    world.deliver(mail("New"))
    world.mailbox.search = found_nothing
    world.poll()
    world.mailbox.search = None

    assert look(world) == 0
    assert notes(world) == ()


@pytest.mark.parametrize("hidden", [4, 5, 6])
def test_search_that_leaves_out_one_mail_hides_none(world: World, hidden: int) -> None:
    world.poll()
    world.mailbox.search = lambda uids: [uid for uid in uids if uid != hidden]
    for number in range(3):
        world.deliver(mail(f"New {number}"))

    world.poll()

    assert world.subjects() == ["New 0", "New 1", "New 2"]
    assert notes(world) == ("search_unreliable",)


def test_search_that_is_right_is_not_asked_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check costs an ordinary poll no command."""
    world.poll()
    world.deliver(mail("New"))
    fetched = Mock(return_value=[])
    monkeypatch.setattr(MemorySession, "fetched_uids", fetched)

    world.poll()

    assert world.subjects() == ["New"]
    fetched.assert_not_called()


def test_folder_without_mail_is_not_fetched_from(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers refuse that, and some tell no UIDNEXT."""
    world.mailboxes.expunge(USER, [1, 2, 3])
    monkeypatch.setattr(
        MemoryFolder, "status", property(lambda _self: FolderStatus(uidvalidity=1, uidnext=None, messages=0, modseq=1))
    )
    fetched = Mock(side_effect=MailboxProtocolError("no_imap"))
    monkeypatch.setattr(MemorySession, "fetched_uids", fetched)

    assert world.poll().outcome is PollOutcome.DONE
    assert look(world) == 0


def test_gap_in_the_numbers_is_no_mistake_of_search(world: World) -> None:
    world.poll()
    for number in range(3):
        world.deliver(mail(f"New {number}"))
    world.mailboxes.expunge(USER, [5])

    world.poll()

    assert world.subjects() == ["New 0", "New 2"]
    assert notes(world) == ()


def test_number_that_no_mail_has_does_not_move_the_cursor(world: World) -> None:
    world.poll()
    world.mailbox.search = lambda uids: [*uids, 4_000_000_000]
    world.deliver(mail("New 0"))
    world.poll()
    world.mailbox.search = None
    world.deliver(mail("New 1"))

    world.poll()

    assert world.subjects() == ["New 0", "New 1"]
    assert cursor(world).last_uid == 5


def test_first_look_believes_in_no_number_that_no_mail_has(world: World) -> None:
    world.mailbox.search = lambda uids: [*uids, 4_000_000_000]
    world.poll()
    world.mailbox.search = None
    world.deliver(mail("New"))

    world.poll()

    assert world.subjects() == ["New"]


@pytest.mark.parametrize("kind", [StartKind.NEW, StartKind.ALL])
def test_cursor_beyond_all_mail_is_healed(world: World, kind: StartKind) -> None:
    """As an older version left it behind."""
    world.change_account(start=StartPoint(kind=kind))
    world.poll()
    before = world.subjects()
    stray = cursor(world)
    lease = world.accounts.lease(world.account.id, until=world.clock() + timedelta(seconds=1))
    assert lease
    world.accounts.save_cursor(
        lease,
        FolderCursor(
            account_id=stray.account_id,
            folder=stray.folder,
            uidvalidity=stray.uidvalidity,
            last_uid=4_000_000_000,
            backfill_low=4_000_000_001 if kind is StartKind.NEW else 1,
            begun_at=stray.begun_at,
            begun_uid=4_000_000_000,
        ),
    )
    world.accounts.release(lease)
    world.wait(hours=1)
    world.deliver(mail("Missed"))

    world.poll()

    assert world.subjects() == [*before, "Missed"]
    assert cursor(world).last_uid == 4
    assert look(world) == 0


def test_big_folder_is_listed_in_parts_where_search_cannot_be_trusted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concord.pipeline.listing.WINDOW", 2)
    world.change_account(start=StartPoint(kind=StartKind.ALL))
    for number in range(7):
        world.deliver(mail(f"Mail {number}"))
    world.mailboxes.expunge(USER, [2, 6])
    world.mailbox.search = found_nothing

    world.poll()

    assert len(world.messages()) == 8
    assert look(world) == 0


def test_start_day_is_kept_where_search_cannot_be_trusted(world: World) -> None:
    since = (world.clock() - 2 * DAY).date()
    assert since == date(2026, 11, 21)
    world.change_account(start=StartPoint(kind=StartKind.SINCE, since=since))
    world.deliver(mail("Too old"), age=9 * DAY)
    world.mailbox.search = found_nothing

    world.poll()

    assert sorted(filter(None, world.subjects())) == ["Old 0", "Old 1", "Old 2"]


# Another mailbox under the same name (P24).


def another(world: World, *, mails: int, age: timedelta = DAY) -> None:
    """A colleague's mailbox, with so many mails."""
    world.mailboxes.add_user("eve")
    for number in range(mails):
        world.mailboxes.deliver("eve", mail(f"Eve's {number}"), internal_date=world.time - age)


def test_another_mailbox_with_an_equal_uidvalidity_is_read_from_its_own_beginning(world: World) -> None:
    world.deliver(mail("Bob's"))
    world.poll()
    another(world, mails=2)
    world.wait(hours=1)
    world.account = world.accounts.replace(replace(world.account, user="eve"))
    world.mailboxes.deliver("eve", mail("Eve's new one"))

    world.poll()

    assert world.subjects() == ["Bob's", "Eve's new one"]
    assert world.reconciler.reconcile(world.account.id) == 0


def test_another_mailbox_brings_no_old_mail(world: World) -> None:
    """Also not with another UIDVALIDITY."""
    world.poll()
    another(world, mails=30)
    world.mailboxes.reset_uidvalidity("eve")
    world.account = world.accounts.replace(replace(world.account, user="eve"))

    world.poll()

    assert world.subjects() == []


def test_poll_under_way_writes_nothing_for_a_mailbox_that_was_replaced(world: World) -> None:
    world.deliver(mail("Bob's"))

    def meanwhile(_uid: int) -> None:
        world.mailbox.before_fetch = None
        world.accounts.replace(replace(world.account, user="eve"))

    world.mailbox.before_fetch = meanwhile
    world.poll()

    assert world.messages() == []


def test_same_mailbox_on_another_host_goes_on_where_it_was(world: World) -> None:
    world.deliver(mail("Before the move"))
    world.poll()
    world.change_account(host="new.example.com")
    world.deliver(mail("After the move"))

    world.poll()

    assert world.subjects() == ["Before the move", "After the move"]
