"""One folder of one account during one poll: what is new by UID, what is left of the backfill, what waits to be marked.

New mail is what has a UID above the cursor, within one UIDVALIDITY (RFC 9051 section 2.3.1.1): never what is unseen,
recent, or has an unknown Message-ID. UIDNEXT and the counts of STATUS only hint that nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import structlog

from concord import mime
from concord.errors import FolderRenumberedError, MailboxError, PollBudgetError
from concord.model.account import Account, AccountNote, AfterKind, FolderCursor, PollLease, StartKind
from concord.model.message import AfterState, FetchedMail, MessageState, SeenMail
from concord.model.rule import Rule
from concord.pipeline.event import raw_key
from concord.pipeline.listing import Listing
from concord.pipeline.rules import early_priority
from concord.pipeline.start import asked_for, is_older, since_day, start_moment
from concord.ports import (
    Accounts,
    Archive,
    Blob,
    Clock,
    FolderStatus,
    Ledger,
    MailSource,
    Queue,
    Rulebook,
    Unreadable,
)
from concord.settings import PollSettings

log = structlog.get_logger(__name__)

# Enough of a mail to see its header block: longer ones are cut, and the peek says less.
HEAD_BYTES: Final = 64 * 1024
RETRIES_PER_POLL: Final = 20
AFTER_PER_POLL: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPorts:
    """What a poll needs besides the mailbox itself."""

    accounts: Accounts
    ledger: Ledger
    archive: Archive
    queue: Queue
    rulebook: Rulebook
    settings: PollSettings
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """How many mails were taken, by what became of them."""

    archived: int = 0
    skipped: int = 0
    unreadable: int = 0

    @classmethod
    def of(cls, mails: Sequence[SeenMail]) -> Take:
        """Count a batch."""
        return cls(
            archived=sum(mail.state is MessageState.ARCHIVED for mail in mails),
            skipped=sum(mail.state is MessageState.SKIPPED for mail in mails),
            unreadable=sum(mail.state is MessageState.UNFETCHED for mail in mails),
        )

    def __add__(self, other: Take) -> Take:
        return Take(
            archived=self.archived + other.archived,
            skipped=self.skipped + other.skipped,
            unreadable=self.unreadable + other.unreadable,
        )


class LeaseLostError(PollBudgetError):
    """Another worker polls this account now; whatever this one had in hand is the other's to take."""

    remedy = "Nothing to do: the poll that took over goes on from the cursor"


class FolderVisit:
    """The three things a poll does with a folder, in the order the poll wants."""

    def __init__(  # noqa: PLR0913 - what identifies the visit, each said once by the poll
        self,
        *,
        ports: PollPorts,
        source: MailSource,
        account: Account,
        lease: PollLease,
        deadline: datetime,
        name: str,
        cursor: FolderCursor | None,
        gives_way: Callable[[], bool] = lambda: False,
    ) -> None:
        self._gives_way = gives_way
        self._ports = ports
        self._source = source
        self._account = account
        self._lease = lease
        self._deadline = deadline
        self._name = name
        self._cursor = cursor
        self._was_read = False  # in this poll, to the end
        self.taken = Take()  # grows as mails are recorded, also where a trouble ends the visit

    def new_mail(self) -> None:
        """Everything above the cursor, and what was unreadable before and is due again."""
        if self._cursor and self._is_unchanged(self._cursor, self._source.status(self._name)):
            self._was_read = True
            self._try_unreadable(self._cursor)
            return
        status, listing, cursor = self._open()
        listed = listing.uids(cursor.last_uid + 1)
        self._note(listing)
        batch = self._ports.settings.batch_messages
        uids = self._ours(cursor, listing, listed)
        for start in range(0, len(uids), batch):
            self._mind_the_time()
            self._take(uids[start : start + batch])
        self._save(
            last_uid=max([cursor.last_uid, *listed[-1:]]),
            uidnext=status.uidnext,
            messages=status.messages,
            modseq=status.modseq,
            checked_at=self._ports.clock(),
        )
        self._was_read = True
        self._try_unreadable(cursor)

    def backfill(self) -> None:
        """What was there before the account began: newest first, for as long as time is left."""
        if self._cursor is None or self._cursor.backfill_next is None:
            return
        status = self._source.select(self._name, uidvalidity=self._cursor.uidvalidity)
        waiting = self._backfill_uids(self._cursor, self._cursor.backfill_next, Listing(self._source, status))
        while waiting:
            self._mind_the_time()
            batch = waiting[-self._ports.settings.batch_messages :]
            self._take(batch, backfill=True)
            del waiting[-len(batch) :]
        self._save(backfill_next=None)

    @property
    def backfill_remains(self) -> bool:
        """Whether old mail is still to be fetched."""
        return self._cursor is not None and self._cursor.backfill_next is not None

    def after_actions(self) -> None:
        """Mark, move or delete on the server what is processed and durable (P12), in a folder that could be read."""
        if self._cursor is None or not self._was_read or self._account.after.kind is AfterKind.LEAVE:
            return
        waiting = self._ports.ledger.after_pending(
            self._account.id, self._name, self._cursor.uidvalidity, limit=AFTER_PER_POLL
        )
        if waiting:
            self._mind_the_time()
            self._source.select(self._name, uidvalidity=self._cursor.uidvalidity, writable=True)
            self._carry_out([uid for _, uid in waiting])
            self._ports.ledger.after_done([message for message, _ in waiting], AfterState.DONE)
            log.info("after.done", folder=self._name, action=str(self._account.after), count=len(waiting))

    def _carry_out(self, uids: list[int]) -> None:
        after = self._account.after
        match after.kind:
            case AfterKind.SEEN:
                self._source.mark(uids, "\\Seen")
            case AfterKind.FLAG:
                self._source.mark(uids, "\\Flagged")
            case AfterKind.MOVE:
                self._source.move(uids, after.folder or "")
            case AfterKind.DELETE:
                self._source.delete(uids)
            case AfterKind.LEAVE:
                pass

    # Where reading begins.

    def _is_unchanged(self, cursor: FolderCursor, status: FolderStatus) -> bool:
        """Whether STATUS says just what it said when the folder was last fully read, not too long ago."""
        recheck = timedelta(seconds=self._ports.settings.recheck)
        return (
            cursor.checked_at is not None
            and self._ports.clock() - cursor.checked_at < recheck
            and status.uidvalidity == cursor.uidvalidity
            and (status.uidnext, status.messages, status.modseq) == (cursor.uidnext, cursor.messages, cursor.modseq)
        )

    def _open(self) -> tuple[FolderStatus, Listing, FolderCursor]:
        """Select the folder under the UIDVALIDITY of its cursor, which is made first where there is none that fits."""
        if self._cursor is not None:
            try:
                status = self._source.select(self._name, uidvalidity=self._cursor.uidvalidity)
            except FolderRenumberedError as error:
                log.warning("folder.renumbered", error=error)
            else:
                return status, Listing(self._source, status, messages=self._cursor.messages), self._healed(status)
        # Only where the numbers that are asked for still hold may messages be named by them.
        status = self._source.select(self._name, uidvalidity=self._source.select(self._name).uidvalidity)
        listing = Listing(self._source, status)
        if self._cursor is None:
            begun = self._first_cursor(status, listing)
        else:
            begun = self._renumbered(self._cursor, status, listing)
        self._store(begun)
        return status, listing, begun

    def _first_cursor(self, status: FolderStatus, listing: Listing) -> FolderCursor:
        present, now = listing.uids(), self._ports.clock()
        top = present[-1] if present else 0
        first = FolderCursor(
            account_id=self._account.id,
            folder=self._name,
            uidvalidity=status.uidvalidity,
            last_uid=top,
            begun_at=now,
            begun_uid=top,
            start_at=start_moment(self._account, now),
        )
        wanted = asked_for(self._account, first, listing, present)
        low = wanted[0] if wanted else top + 1
        if first.start_at is not None:
            # What came since the account was added is new mail, however late its folder is read for the first time.
            return replace(first, last_uid=low - 1, backfill_low=low)
        return replace(first, backfill_next=top + 1 if wanted else None, backfill_low=low)

    def _renumbered(self, cursor: FolderCursor, status: FolderStatus, listing: Listing) -> FolderCursor:
        """The server gave every mail a new number: read all again; the ledger knows old mail by its content."""
        present = listing.uids()
        top = present[-1] if present else 0
        return FolderCursor(
            account_id=cursor.account_id,
            folder=cursor.folder,
            uidvalidity=status.uidvalidity,
            last_uid=top,
            backfill_next=top + 1 if present else None,
            begun_at=cursor.begun_at,
            begun_uid=top,
            start_at=cursor.start_at,
        )

    def _healed(self, status: FolderStatus) -> FolderCursor:
        """The cursor, brought back where it stands beyond all mail: SEARCH had named a number that no mail has."""
        cursor, uidnext = self._cursor, status.uidnext
        assert cursor is not None  # noqa: S101 - the folder is selected by it
        if uidnext is None or cursor.last_uid < uidnext or self._source.fetched_uids(cursor.last_uid, cursor.last_uid):
            return cursor  # where that mail is there, UIDNEXT is wrong
        known = self._ports.ledger.uids(cursor.account_id, self._name, cursor.uidvalidity, low=1, high=uidnext - 1)
        begun = cursor.begun_uid
        # Where reading began at such a number, the start point decides again what is ours.
        last = max([begun if begun is not None and begun < uidnext else 0, *known])
        healed = replace(
            cursor,
            last_uid=last,
            begun_uid=None if begun is None else min(begun, uidnext - 1),
            backfill_low=min(cursor.backfill_low, last + 1),
            backfill_next=None if cursor.backfill_next is None else min(cursor.backfill_next, uidnext),
            checked_at=None,
        )
        log.warning("folder.cursor_healed", folder=self._name, was=cursor.last_uid, now=last)
        self._store(healed)
        return healed

    def _ours(self, cursor: FolderCursor, listing: Listing, listed: list[int]) -> list[int]:
        """What came after reading began is ours; of what was there, what the start point asks for."""
        begun = cursor.begun_uid or 0
        there = [uid for uid in listed if uid <= begun]
        return [*asked_for(self._account, cursor, listing, there), *(uid for uid in listed if uid > begun)]

    def _backfill_uids(self, cursor: FolderCursor, below: int, listing: Listing) -> list[int]:
        uids = listing.uids(cursor.backfill_low, below - 1) if below > cursor.backfill_low else []
        self._note(listing)
        return since_day(self._account.start, listing, uids)

    def _note(self, listing: Listing) -> None:
        """Say on the account that its server's SEARCH cannot be relied on."""
        if listing.is_search_wrong:
            self._ports.accounts.note(self._account.id, AccountNote.SEARCH_UNRELIABLE, holds=True)

    # Taking mails: archive, then ledger and cursor, then queue.

    def _take(self, uids: list[int], *, backfill: bool = False, again: bool = False) -> None:
        """Take these. What came before a trouble is kept, and the cursor stands there."""
        assert self._cursor is not None  # noqa: S101 - a folder has begun before it is read
        mails, trouble = self._fetched(uids, backfill=backfill)
        cursor = self._cursor
        if not again:
            cursor = self._moved(cursor, uids, mails, whole=trouble is None, backfill=backfill)
        elif trouble is None:
            mails += self._gone(uids, mails)
        refs = self._ports.ledger.record(self._lease, cursor, mails)
        if refs is None:
            raise LeaseLostError("Another worker polls this account now", account=self._account.name)
        self._cursor = cursor
        self.taken += Take.of(mails)
        self._ports.queue.process(refs)
        if trouble is not None:
            raise trouble

    def _fetched(self, uids: list[int], *, backfill: bool) -> tuple[list[SeenMail], MailboxError | None]:
        mails: list[SeenMail] = []
        blobs: list[Blob] = []
        trouble: MailboxError | None = None
        try:
            for item in self._source.fetch(uids, max_size=self._ports.settings.max_message_bytes):
                if isinstance(item, Unreadable):
                    mails.append(_unreadable(item))
                    continue
                blob = self._blob(item)
                if isinstance(item.content, bytes):
                    blobs.append(blob)
                else:
                    self._ports.archive.put([blob])  # its temporary file goes when the next mail is asked for
                mails.append(self._seen(item, blob.key, backfill=backfill))
        except MailboxError as error:
            trouble = error
        self._ports.archive.put(blobs)
        return mails, trouble

    def _blob(self, mail: FetchedMail) -> Blob:
        return Blob(
            key=raw_key(self._account.id, mail.sha256, mail.internal_date),
            sha256=mail.sha256,
            size=mail.size,
            content=mail.content,
            content_type="message/rfc822",
        )

    def _seen(self, mail: FetchedMail, key: str, *, backfill: bool) -> SeenMail:
        peek = mime.peek(_head(mail))
        wanted = early_priority(
            self._rules,
            peek,
            account=self._account.name,
            folder=self._name,
            size=mail.size,
            base=self._account.priority,
            late=backfill,
        )
        return SeenMail(
            uid=mail.uid,
            state=MessageState.SKIPPED if backfill and self._predates(mail) else MessageState.ARCHIVED,
            sha256=mail.sha256,
            size=mail.size,
            archive_key=key,
            internal_date=mail.internal_date,
            flags=mail.flags,
            priority=wanted,
            peek=peek,
            error="It was there before the account began" if backfill and self._predates(mail) else None,
        )

    def _predates(self, mail: FetchedMail) -> bool:
        """After a renumbering, what was there before a `start: new` account began is still not new."""
        cursor = self._cursor
        if cursor is None or self._account.start.kind is not StartKind.NEW:
            return False
        return is_older(mail.internal_date, cursor.start_at or cursor.begun_at)

    @cached_property
    def _rules(self) -> list[Rule]:
        return self._ports.rulebook.rules()

    def _try_unreadable(self, cursor: FolderCursor) -> None:
        uids = self._ports.ledger.unfetched(self._account.id, self._name, cursor.uidvalidity, limit=RETRIES_PER_POLL)
        if not uids:
            return
        self._source.select(self._name, uidvalidity=cursor.uidvalidity)
        self._take(sorted(uids), again=True)

    @staticmethod
    def _gone(uids: list[int], mails: list[SeenMail]) -> list[SeenMail]:
        found = {mail.uid for mail in mails}
        reason = "It was removed from the server before it could be read"
        return [SeenMail(uid=uid, state=MessageState.SKIPPED, error=reason) for uid in uids if uid not in found]

    @staticmethod
    def _moved(
        cursor: FolderCursor, uids: list[int], mails: list[SeenMail], *, whole: bool, backfill: bool
    ) -> FolderCursor:
        if backfill:
            # A half-read batch is read again: it is the lowest of what is left, and recording twice changes nothing.
            return replace(cursor, backfill_next=uids[0]) if whole else cursor
        if whole:
            return replace(cursor, last_uid=uids[-1])
        return replace(cursor, last_uid=mails[-1].uid) if mails else cursor

    # The cursor.

    def _save(self, **changes: object) -> None:
        assert self._cursor is not None  # noqa: S101 - a folder has begun before its cursor changes
        self._store(replace(self._cursor, **changes))  # type: ignore[arg-type]  # names are checked by replace itself

    def _store(self, cursor: FolderCursor) -> None:
        if not self._ports.accounts.save_cursor(self._lease, cursor):
            raise LeaseLostError("Another worker polls this account now", account=self._account.name)
        self._cursor = cursor

    def _mind_the_time(self) -> None:
        if self._ports.clock() >= self._deadline or self._gives_way():
            raise PollBudgetError("The poll's time is used up", account=self._account.name, folder=self._name)


def _head(mail: FetchedMail) -> bytes:
    if isinstance(mail.content, bytes):
        return mail.content[:HEAD_BYTES]
    with mail.content.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _unreadable(item: Unreadable) -> SeenMail:
    if item.oversized:
        reason = "It is larger than poll.max_message_bytes"
        return SeenMail(uid=item.uid, state=MessageState.SKIPPED, size=item.size, error_code="oversized", error=reason)
    code = getattr(item.error, "code", "message_unreadable")
    return SeenMail(uid=item.uid, state=MessageState.UNFETCHED, size=item.size, error_code=code, error=str(item.error))
