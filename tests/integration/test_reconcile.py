"""The ledger beside a real server: lost rows and a cursor that ran ahead are found, counted and made good (O7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import folders, messages, trail
from concord.model.account import StartKind, StartPoint
from concord.model.message import MessageState
from concord.pipeline.reconcile import AGAIN, Reconciler
from tests.factories import mail
from tests.fakes.queue import MemoryQueue
from tests.fakes.world import World
from tests.servers.dovecot import Dovecot
from tests.servers.imap_accounts import Polls, account_on, open_folder

WAIT = AGAIN + timedelta(minutes=1)


class Mailbox:
    """One account on Dovecot, with the pipeline's database in memory and a clock that is told."""

    def __init__(self, dovecot: Dovecot, user: str, polls: Polls) -> None:
        self.world = World()
        self.dovecot = dovecot
        self.user = user
        self.sources = polls.sources

    def add(self, **changes: object) -> None:
        """The account, read for the first time."""
        wanted = replace(account_on(self.dovecot, self.user), id=0, **changes)  # type: ignore[arg-type]  # names are checked
        self.account = self.world.accounts.add(wanted)
        self.poll()

    def deliver(self, *subjects: str) -> list[int]:
        return [self.dovecot.deliver(self.user, mail(subject)) for subject in subjects]

    def poll(self) -> None:
        poller = replace(self.world.poller, sources=self.sources)
        report = poller.poll(self.account.id, forced=True)
        if report.backfill:
            backfiller = replace(self.world.backfiller, sources=self.sources)
            report = report.followed_by(backfiller.backfill(self.account.id))
        assert report.error is None, report.error

    def look(self) -> int | None:
        return self.reconciler.reconcile(self.account.id)

    @property
    def reconciler(self) -> Reconciler:
        return replace(self.world.reconciler, sources=self.sources, queue=MemoryQueue())

    def lose(self, *uids: int) -> None:
        """As after a restore of an older backup of the database."""
        with transaction(self.world.engine) as connection:
            lost = select(messages.c.id).where(messages.c.uid.in_(uids), messages.c.account_id == self.account.id)
            ids = list(connection.execute(lost).scalars())
            connection.execute(delete(trail).where(trail.c.message_id.in_(ids)))
            connection.execute(delete(messages).where(messages.c.id.in_(ids)))

    def remove(self, uid: int) -> None:
        """As the mailbox's owner does."""
        with self.sources.open(self.account, deadline=self.world.clock() + WAIT) as source:
            open_folder(source, writable=True)
            source.delete([uid])

    def uids(self, state: MessageState = MessageState.ARCHIVED) -> list[int]:
        return sorted(one.uid for one in self.world.messages(state) if one.account_id == self.account.id)


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
    mailbox.deliver("Old")
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
