"""Where folders begin and which there are (P13, P14, P24), with a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest

from concord.model.account import StartKind, StartPoint
from concord.model.message import MessageState
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.imap_accounts import Polls, open_folder
from tests.servers.polled import WAIT, Mailbox

DAY = timedelta(days=1)
NEW = StartPoint(kind=StartKind.NEW)
ALL = StartPoint(kind=StartKind.ALL)


@pytest.fixture
def mailbox(dovecot: Dovecot, mailbox_user: str, polls: Polls) -> Mailbox:
    made = Mailbox(dovecot, mailbox_user, polls)
    # The sources' deadlines are of the real time.
    made.world.time = polls.sources._clock()
    return made


def subjects(mailbox: Mailbox) -> list[str]:
    return sorted(str(one.subject) for one in mailbox.world.messages(MessageState.ARCHIVED))


def test_mail_between_adding_the_account_and_its_first_poll_is_new(mailbox: Mailbox) -> None:
    mailbox.deliver("Old", "Older", age=DAY)
    mailbox.keep(start=NEW)
    mailbox.deliver("Meanwhile")
    mailbox.deliver("Imported meanwhile", age=2 * DAY)

    mailbox.poll()

    assert subjects(mailbox) == ["Meanwhile"]
    assert mailbox.look() == 0


def test_mail_that_makes_its_folder_is_new(mailbox: Mailbox) -> None:
    """As the server's own filter does: the folder is made by the delivery."""
    mailbox.add(start=NEW, folders=("*",))
    mailbox.dovecot.deliver_lmtp(mailbox.user, mail("Invoice"), "Invoices")

    mailbox.poll()

    assert subjects(mailbox) == ["Invoice"]
    assert mailbox.look() == 0


def test_junk_is_polled_by_its_name_only(mailbox: Mailbox) -> None:
    mailbox.deliver("Spam", folder="Junk")
    mailbox.deliver("Mail")

    mailbox.add(start=ALL, folders=("*",))
    assert subjects(mailbox) == ["Mail"]
    mailbox.change(folders=("*", "Junk"))
    mailbox.poll()

    assert subjects(mailbox) == ["Mail", "Spam"]


def test_inbox_is_one_folder_in_any_spelling(mailbox: Mailbox) -> None:
    mailbox.deliver("Once")
    mailbox.add(start=ALL, folders=("inbox",))
    mailbox.change(folders=("Inbox", "INBOX"))
    mailbox.deliver("Twice")

    mailbox.poll()

    assert subjects(mailbox) == ["Once", "Twice"]


def test_mail_that_is_moved_and_comes_back_is_one_mail(mailbox: Mailbox) -> None:
    [uid] = mailbox.deliver("Once")
    mailbox.add(start=ALL, folders=("*",))

    for source, target in (("INBOX", "Projects"), ("Projects", "INBOX")):
        mailbox.move(source, target)
        mailbox.poll()

    copies = mailbox.world.messages(MessageState.SKIPPED)
    assert subjects(mailbox) == ["Once"]
    assert [(one.folder, one.error_code) for one in copies] == [("Projects", "copy"), ("INBOX", "copy")]
    assert copies[-1].uid > uid
    mailbox.world.wait(seconds=WAIT.total_seconds())
    assert mailbox.look() == 0


def test_folder_that_is_renamed_doubles_nothing(mailbox: Mailbox) -> None:
    mailbox.deliver("One", "Two", folder="Projects")
    mailbox.add(start=ALL, folders=("*",))
    mailbox.dovecot.rename_folder(mailbox.user, "Projects", "Clients")
    mailbox.deliver("Three", folder="Clients")

    mailbox.poll()

    assert subjects(mailbox) == ["One", "Three", "Two"]


def test_cursor_beyond_all_mail_is_healed(mailbox: Mailbox) -> None:
    mailbox.add(start=NEW)
    mailbox.deliver("Known")
    mailbox.poll()
    mailbox.set_cursor(last_uid=4_000_000_000)
    mailbox.deliver("Missed")

    mailbox.poll()

    assert subjects(mailbox) == ["Known", "Missed"]
    assert mailbox.look() == 0


def test_uids_and_dates_of_a_selected_folder(mailbox: Mailbox) -> None:
    """What FETCH names is what SEARCH names, on a server that tells the truth."""
    uids = mailbox.deliver("One", "Two", "Three", age=DAY)
    mailbox.keep(start=ALL)

    with mailbox.sources.open(mailbox.account, deadline=mailbox.world.clock() + WAIT) as source:
        open_folder(source)
        assert source.fetched_uids(uids[1]) == source.uids(uids[1]) == uids[1:]
        dates = source.internal_dates(uids)

    assert list(dates) == uids
    assert all(at and abs(mailbox.world.clock() - DAY - at) < timedelta(minutes=2) for at in dates.values())
