"""An account on a real Dovecot, polled by the pipeline with a database in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import folders, messages, trail
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

    def keep(self, **changes: object) -> None:
        """Add the account, and do not read it yet."""
        wanted = replace(account_on(self.dovecot, self.user), id=0, **changes)  # type: ignore[arg-type]  # names are checked
        self.account = self.world.accounts.add(wanted)

    def add(self, **changes: object) -> None:
        """The account, read for the first time."""
        self.keep(**changes)
        self.poll()

    def change(self, **changes: object) -> None:
        """As an operator does."""
        self.account = self.world.accounts.save(replace(self.account, **changes))  # type: ignore[arg-type]  # as above

    def move(self, source: str, target: str) -> None:
        """All mail of a folder, as the mailbox's owner does."""
        with self.sources.open(self.account, deadline=self.world.clock() + WAIT) as session:
            open_folder(session, source, writable=True)
            session.move(session.uids(1), target)

    def set_cursor(self, **values: int) -> None:
        """As an older version may have left it."""
        with transaction(self.world.engine) as connection:
            connection.execute(update(folders).values(values))

    def deliver(self, *subjects: str, folder: str = "INBOX", age: timedelta = timedelta()) -> list[int]:
        """The server got them `age` ago."""
        at = datetime.now(UTC) - age
        return [self.dovecot.deliver(self.user, mail(subject), folder, internal_date=at) for subject in subjects]

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
