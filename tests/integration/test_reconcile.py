"""The ledger beside a real server: lost rows and a cursor that ran ahead are found, counted and made good (O7)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import folders
from concord.model.account import StartKind, StartPoint
from concord.model.message import MessageState
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.imap_accounts import Polls
from tests.servers.polled import WAIT, Mailbox


@pytest.fixture
def mailbox(dovecot: Dovecot, mailbox_user: str, polls: Polls) -> Mailbox:
    made = Mailbox(dovecot, mailbox_user, polls)
    # The sources' deadlines are of the real time.
    made.world.time = polls.sources._clock()
    return made


def test_rows_that_were_lost_are_found_and_their_mail_comes_again(mailbox: Mailbox) -> None:
    taken = mailbox.deliver("One", "Two", "Three", "Four")
    mailbox.add(start=StartPoint(kind=StartKind.ALL))
    assert (mailbox.look(), mailbox.uids()) == (0, taken)
    mailbox.lose(taken[1], taken[2])
    mailbox.world.wait(hours=1)

    assert mailbox.look() == 2
    assert mailbox.uids(MessageState.UNFETCHED) == taken[1:3]
    mailbox.world.wait(seconds=WAIT.total_seconds())
    mailbox.poll()
    assert mailbox.uids() == taken
    assert mailbox.look() == 0


def test_cursor_that_ran_ahead_of_the_mail_is_found(mailbox: Mailbox) -> None:
    mailbox.add(start=StartPoint(kind=StartKind.NEW))
    missed = mailbox.deliver("Missed", "Missed too")
    with transaction(mailbox.world.engine) as connection:
        connection.execute(update(folders).values(last_uid=missed[-1]))
    mailbox.poll()
    assert mailbox.uids() == []

    assert mailbox.look() == 2
    mailbox.world.wait(seconds=WAIT.total_seconds())
    mailbox.poll()
    assert mailbox.uids() == missed


def test_mail_that_was_there_before_or_is_gone_since_is_no_gap(mailbox: Mailbox) -> None:
    mailbox.deliver("Old", age=timedelta(days=1))
    mailbox.add(start=StartPoint(kind=StartKind.NEW))
    removed, kept = mailbox.deliver("Removed", "Kept")
    mailbox.poll()
    mailbox.lose(removed, kept)
    mailbox.remove(removed)

    assert mailbox.look() == 1
    assert mailbox.uids(MessageState.UNFETCHED) == [kept]


def test_every_folder_is_compared(mailbox: Mailbox, dovecot: Dovecot) -> None:
    elsewhere = dovecot.deliver(mailbox.user, mail("Elsewhere"), "Projekte/Größe & Co")
    mailbox.deliver("Here")
    mailbox.add(start=StartPoint(kind=StartKind.ALL), folders=("*",))
    mailbox.lose(elsewhere)

    assert mailbox.look() == 2
    assert mailbox.uids(MessageState.UNFETCHED) == [elsewhere, elsewhere]
