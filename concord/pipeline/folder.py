"""One folder of one account during one poll: what is new by UID, what is left of the backfill, what waits to be marked.

New mail is what has a UID above the cursor, within one UIDVALIDITY (RFC 9051 section 2.3.1.1): never what is unseen,
recent, or has an unknown Message-ID. UIDNEXT and the counts of STATUS only hint that nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import structlog

from concord import mime
from concord.errors import (
    ConcordError,
    FolderRenumberedError,
    InfrastructureError,
    MailboxError,
    MessageEndsSessionError,
    PollBudgetError,
    PollFaultError,
    SessionLostError,
)
from concord.model.account import Account, AccountNote, AfterKind, FolderCursor, PollLease, Priority, StartKind
from concord.model.fault import Fault, dump
from concord.model.message import FetchedMail, MessageState, Peek, SeenMail
from concord.model.rule import Rule
from concord.pipeline import health
from concord.pipeline.after import AfterActions
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
    Losses,
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
# A message that ends so many sessions, each time fetched alone, is left to its own retries.
DEATHS: Final = 3
# Of a poll's time: with less left, a message that is fetched alone might be blamed for the poll's end.
FAIR_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPorts:
    """What a poll needs besides the mailbox itself."""

    accounts: Accounts
    ledger: Ledger
    archive: Archive
    losses: Losses
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
    known: int = 0  # read again, moved or copied: no new message

    @classmethod
    def of(cls, mails: Sequence[SeenMail], *, new: int) -> Take:
        """Count a batch, so many of which are to be processed."""
        return cls(
            archived=new,
            known=sum(mail.state is MessageState.ARCHIVED for mail in mails) - new,
            skipped=sum(mail.state is MessageState.SKIPPED for mail in mails),
            unreadable=sum(mail.state is MessageState.UNFETCHED for mail in mails),
        )

    def __add__(self, other: Take) -> Take:
        return Take(
            archived=self.archived + other.archived,
            skipped=self.skipped + other.skipped,
            unreadable=self.unreadable + other.unreadable,
            known=self.known + other.known,
        )


class LeaseLostError(PollBudgetError):
    """Another worker polls this account now; whatever this one had in hand is the other's to take."""


class FolderVisit:
    """The things a poll does with a folder, in the order the poll wants."""

    def __init__(  # noqa: PLR0913 - what identifies the visit, each said once by the poll
        self,
        *,
        ports: PollPorts,
        account: Account,
        lease: PollLease,
        deadline: datetime,
        name: str,
        cursor: FolderCursor | None,
        gives_way: Callable[[], bool] = lambda: False,
        status: FolderStatus | None = None,
    ) -> None:
        self._gives_way = gives_way
        self._ports = ports
        self._account = account
        self._lease = lease
        self._deadline = deadline
        self.name = name
        self._cursor = cursor
        self._status = status  # as asked for together with the other folders'
        self.was_read = False  # in this poll, to the end
        self._fair_time = (deadline - ports.clock()) * FAIR_SHARE
        self.taken = Take()  # grows as mails are recorded, also where a trouble ends the visit

    def use(self, source: MailSource) -> None:
        """The session for what follows: another one where a folder ended the last."""
        self._source = source

    def new_mail(self) -> None:
        """Everything above the cursor."""
        self._count_crash()
        if self._cursor and self._is_unchanged(self._cursor, self._status or self._source.status(self.name)):
            self.was_read = True
            return
        status, listing, cursor = self._open()
        listed = listing.uids(cursor.last_uid + 1)
        self._note(listing)
        wanted = self._ours(cursor, listing, listed)
        self._take_care(wanted)
        for batch in self._batches(wanted):
            self._mind_the_time()
            self._take(batch)
        self._save(
            last_uid=max([cursor.last_uid, *listed[-1:]]),
            uidnext=status.uidnext,
            messages=status.messages,
            modseq=status.modseq,
            checked_at=self._ports.clock(),
        )
        self.was_read = True

    def retry_unfetched(self) -> None:
        """Ask again, each alone and behind all new mail, for what the server did not hand over and is due."""
        if self._cursor is None or not self.was_read:
            return
        cursor = self._cursor
        uids = self._ports.ledger.unfetched(cursor.account_id, self.name, cursor.uidvalidity, limit=RETRIES_PER_POLL)
        if not uids:
            return
        self._source.select(self.name, uidvalidity=cursor.uidvalidity)
        for uid in uids:
            self._mind_the_time()
            self._take([uid], again=True)

    def backfill(self) -> None:
        """What was there before the account began: newest first, for as long as time is left."""
        self._count_crash()
        if self._cursor is None or self._cursor.backfill_next is None:
            return
        status = self._source.select(self.name, uidvalidity=self._cursor.uidvalidity)
        waiting = self._backfill_uids(self._cursor, self._cursor.backfill_next, Listing(self._source, status))[::-1]
        self._take_care(waiting)
        for batch in self._batches(waiting):
            self._mind_the_time()
            self._take(batch, backfill=True)
        self._save(backfill_next=None)

    @property
    def backfill_remains(self) -> bool:
        """Whether old mail is still to be fetched."""
        return self._cursor is not None and self._cursor.backfill_next is not None

    def after_actions(self) -> None:
        """Mark, move or delete on the server what is processed and durable (P12), in a folder that could be read."""
        if self._cursor is None or not self.was_read or self._account.after.kind is AfterKind.LEAVE:
            return
        AfterActions(
            ledger=self._ports.ledger,
            archive=self._ports.archive,
            source=self._source,
            clock=self._ports.clock,
            action=self._account.after,
            cursor=self._cursor,
            mind_the_time=self._mind_the_time,
        ).run()

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
                status = self._source.select(self.name, uidvalidity=self._cursor.uidvalidity)
            except FolderRenumberedError as error:
                log.warning("folder.renumbered", error=error)
            else:
                return status, Listing(self._source, status, messages=self._cursor.messages), self._healed(status)
        # Only where the numbers that are asked for still hold may messages be named by them.
        status = self._source.select(self.name, uidvalidity=self._source.select(self.name).uidvalidity)
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
            folder=self.name,
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
        if uidnext is None or cursor.last_uid < uidnext:
            return cursor
        if status.messages and self._source.fetched_uids(cursor.last_uid, cursor.last_uid):
            return cursor  # UIDNEXT is wrong: that mail is there
        known = self._ports.ledger.uids(cursor.account_id, self.name, cursor.uidvalidity, low=1, high=uidnext - 1)
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
        log.warning("folder.cursor_healed", folder=self.name, was=cursor.last_uid, now=last)
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

    def _batches(self, uids: Sequence[int]) -> Iterator[list[int]]:
        """In the order given; around the place where a session ended, each alone."""
        batch: list[int] = []
        for uid in uids:
            alone = self._is_careful(uid)
            if batch and (alone or len(batch) == self._ports.settings.batch_messages):
                yield batch
                batch = []
            batch.append(uid)
            if alone:
                yield batch
                batch = []
        if batch:
            yield batch

    def _is_careful(self, uid: int) -> bool:
        cursor = self._cursor
        if cursor is None or cursor.careful_low is None or cursor.careful_high is None:
            return False
        return cursor.careful_low <= uid <= cursor.careful_high

    def _take_care(self, uids: Sequence[int]) -> None:
        """Fetch the first batch one by one where the last one crashed: one of these may be what it died of."""
        batch = next(self._batches(uids), []) if self._lease.follows_crash else []
        if batch and not self._is_careful(batch[0]):
            self._save(careful_low=min(batch), careful_high=max(batch))

    def _count_crash(self) -> None:
        """Count it as a death of the message that was being fetched alone when the last process died."""
        cursor = self._cursor
        if not self._lease.follows_crash or cursor is None or cursor.fetching_uid is None:
            return
        uid = cursor.fetching_uid
        again = bool(self._ports.ledger.uids(cursor.account_id, self.name, cursor.uidvalidity, low=uid, high=uid))
        cursor, given_up = self._remember_loss(
            replace(cursor, fetching_uid=None), [uid], [uid], "worker_lost", again=again
        )
        if given_up and not again:
            backfill = cursor.backfill_next is not None and uid < cursor.backfill_next
            cursor = self._moved(cursor, [uid], given_up, whole=True, backfill=backfill)
        self._record(cursor, given_up)

    def _take(self, uids: list[int], *, backfill: bool = False, again: bool = False) -> None:
        """Take these, in this order. What came whole before a trouble is kept, and the cursor moves there."""
        assert self._cursor is not None  # noqa: S101 - a folder has begun before it is read
        is_fair = self._has_fair_time()
        is_suspect = again or self._is_careful(uids[0])
        if not is_fair and is_suspect:
            raise self._out_of_time()  # a message must not be blamed for a poll that was nearly over
        with self._place_known(uids[0]) if is_suspect else nullcontext():
            mails, trouble = self._fetched(uids, backfill=backfill)
        cursor, given_up = replace(self._cursor, fetching_uid=None), False
        if trouble is None and again:
            mails += self._gone(uids, mails)
        elif trouble is not None:
            rest = uids[uids.index(mails[-1].uid) + 1 :] if mails else uids
            if self._is_loss(trouble, mails, alone=len(uids) == 1, is_fair=is_fair):
                cursor, unfetched = self._remember_loss(cursor, uids, rest, trouble.code, again=again)
                given_up = bool(unfetched)
                mails += unfetched
            trouble = self._session_lost(trouble, rest)
        if not again:
            cursor = self._moved(cursor, uids, mails, whole=trouble is None or given_up, backfill=backfill)
        self._record(cursor, mails)
        if trouble is not None:
            raise trouble

    @contextmanager
    def _place_known(self, uid: int) -> Iterator[None]:
        """Have the database know what is being fetched, so that a process that dies of it says where it died."""
        self._save(fetching_uid=uid)
        try:
            yield
        except Exception:
            with suppress(InfrastructureError, LeaseLostError):
                self._save(fetching_uid=None)
            raise

    def _is_loss(self, trouble: MailboxError, mails: list[SeenMail], *, alone: bool, is_fair: bool) -> bool:
        """Whether the session ended because of what was being fetched, as far as can be told."""
        # A line that is slow or breaks, and brings another piece of the message each time, says nothing of it.
        if trouble.kept:
            return False
        if not isinstance(trouble, PollBudgetError):
            return health.ends_session(trouble)
        if isinstance(trouble, LeaseLostError) or not is_fair:
            return False
        return alone or (not mails and self.taken == Take())

    def _remember_loss(
        self, cursor: FolderCursor, uids: list[int], rest: list[int], cause: str, *, again: bool
    ) -> tuple[FolderCursor, list[SeenMail]]:
        """The cursor that remembers the place; and the row of a message that has ended its last session."""
        if not rest:
            return cursor, []
        if len(uids) > 1:
            low, high = min(rest), max(rest)
            return replace(cursor, careful_low=low, careful_high=high, died_uid=None, deaths=0), []
        uid = rest[0]
        deaths = cursor.deaths + 1 if cursor.died_uid == uid else 1
        log.warning("folder.session_lost", folder=self.name, uid=uid, deaths=deaths, cause=cause)
        if again or deaths >= DEATHS:
            error = MessageEndsSessionError(folder=self.name, uid=uid, cause=cause)
            return replace(cursor, died_uid=None, deaths=0), [unfetched_mail(uid, error)]
        cursor = cursor if self._is_careful(uid) else replace(cursor, careful_low=uid, careful_high=uid)
        return replace(cursor, died_uid=uid, deaths=deaths), []

    def _session_lost(self, trouble: MailboxError, rest: list[int]) -> MailboxError:
        if not health.ends_session(trouble) or not rest:
            return trouble
        lost = SessionLostError(account=self._account.name, folder=self.name, uid=rest[0], cause=trouble.situation)
        lost.__cause__ = trouble
        return lost

    def _fetched(self, uids: list[int], *, backfill: bool) -> tuple[list[SeenMail], MailboxError | None]:
        """What came of these, durable. Where something unexpected ends it, the rest is asked for one by one."""
        mails: list[SeenMail] = []
        blobs: list[Blob] = []
        trouble: MailboxError | None = None
        unexpected: Exception | None = None
        try:
            for item in self._source.fetch(uids, max_size=self._ports.settings.max_message_bytes):
                mails.append(self._keep(item, blobs, backfill=backfill))  # noqa: PERF401 - it keeps what came before an error
        except InfrastructureError:
            raise
        except MailboxError as error:
            trouble = error
        except Exception as error:  # noqa: BLE001 - it is logged with its traceback where it is one message's
            unexpected = error
        mails = self._put(mails, blobs)
        if unexpected is None:
            return mails, trouble
        rest = uids[uids.index(mails[-1].uid) + 1 :] if mails else uids
        if len(uids) == 1:
            return [*mails, *(self._faulty(uid, unexpected) for uid in rest)], None
        for uid in rest:
            more, trouble = self._fetched([uid], backfill=backfill)
            mails += more
            if trouble is not None:
                break
        return mails, trouble

    def _keep(self, item: FetchedMail | Unreadable, blobs: list[Blob], *, backfill: bool) -> SeenMail:
        """Small mails are archived together, later; a big one's temporary file goes when the next mail is asked for."""
        if isinstance(item, Unreadable):
            return _unreadable(item)
        blob = self._blob(item)
        seen = self._seen(item, blob.key, backfill=backfill)
        if isinstance(item.content, bytes):
            blobs.append(blob)
            return seen
        return self._put([seen], [blob])[0]

    def _put(self, mails: list[SeenMail], blobs: list[Blob]) -> list[SeenMail]:
        """Archive all; one that the archive refuses (not: cannot take now) is left to be fetched again."""
        mails, blobs = self._at_known_keys(mails, blobs)
        try:
            self._ports.archive.put(blobs)
        except InfrastructureError:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged with its traceback for the message it is about
            if len(blobs) == 1:
                return [self._faulty(mail.uid, error) if mail.archive_key == blobs[0].key else mail for mail in mails]
            for blob in blobs:
                mails = self._put(mails, [blob])
        return mails

    def _at_known_keys(self, mails: list[SeenMail], blobs: list[Blob]) -> tuple[list[SeenMail], list[Blob]]:
        """A mail that was moved or copied is archived already, perhaps under the date of another folder."""
        keys = self._ports.ledger.archive_keys(self._account.id, [blob.sha256 for blob in blobs])
        known = {blob.key: keys[blob.sha256] for blob in blobs if blob.sha256 in keys}
        return (
            [replace(mail, archive_key=known.get(mail.archive_key or "", mail.archive_key)) for mail in mails],
            [replace(blob, key=known.get(blob.key, blob.key)) for blob in blobs],
        )

    def _record(self, cursor: FolderCursor, mails: list[SeenMail]) -> None:
        """Rows and cursor in one transaction; where the database refuses a value, that one mail's row says so."""
        try:
            refs = self._ports.ledger.record(
                self._lease, cursor, mails, events_for_copies=self._ports.settings.events_for_copies
            )
        except InfrastructureError:
            raise
        except Exception as error:
            if not mails or (len(mails) == 1 and mails[0].state is MessageState.UNFETCHED):
                raise
            if len(mails) == 1:
                self._record(cursor, [self._faulty(mails[0].uid, error)])
                return
            before = self._cursor or cursor
            for mail in mails:
                self._record(before, [mail])
            self._record(cursor, [])
            return
        if refs is None:
            raise LeaseLostError(account=self._account.name)
        self._cursor = cursor
        self.taken += Take.of(mails, new=len(refs))
        self._ports.queue.process(refs)

    def _faulty(self, uid: int, error: Exception) -> SeenMail:
        """A defect of ours met one message: its row says so, and the others go on."""
        log.error("message.fault", folder=self.name, uid=uid, exc_info=error)
        return unfetched_mail(uid, fault(error, account=self._account.name, folder=self.name, uid=uid))

    def _blob(self, mail: FetchedMail) -> Blob:
        return Blob(
            key=raw_key(self._account.id, mail.sha256, mail.internal_date),
            sha256=mail.sha256,
            size=mail.size,
            content=mail.content,
            content_type="message/rfc822",
        )

    def _seen(self, mail: FetchedMail, key: str, *, backfill: bool) -> SeenMail:
        peek, wanted = self._peeked(mail, late=backfill)
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
            error=Fault("before_start").dump() if backfill and self._predates(mail) else None,
        )

    def _peeked(self, mail: FetchedMail, *, late: bool) -> tuple[Peek, Priority]:
        """The head's facts. The octets are what counts: a head that cannot be read costs no mail."""
        try:
            peek = mime.peek(_head(mail))
            wanted = early_priority(
                self._rules,
                peek,
                account=self._account.name,
                folder=self.name,
                size=mail.size,
                base=self._account.priority,
                late=late,
            )
        except InfrastructureError:
            raise
        except Exception:
            log.exception("message.peek_failed", folder=self.name, uid=mail.uid)
            return Peek(), Priority.LOW if late else self._account.priority
        return peek, wanted

    def _predates(self, mail: FetchedMail) -> bool:
        """After a renumbering, what was there before a `start: new` account began is still not new."""
        cursor = self._cursor
        if cursor is None or self._account.start.kind is not StartKind.NEW:
            return False
        return is_older(mail.internal_date, cursor.start_at or cursor.begun_at)

    @cached_property
    def _rules(self) -> list[Rule]:
        return self._ports.rulebook.rules()

    @staticmethod
    def _gone(uids: list[int], mails: list[SeenMail]) -> list[SeenMail]:
        found = {mail.uid for mail in mails}
        reason = "It was removed from the server before it could be read"
        return [SeenMail(uid=uid, state=MessageState.SKIPPED, error=reason) for uid in uids if uid not in found]

    @staticmethod
    def _moved(
        cursor: FolderCursor, uids: list[int], mails: list[SeenMail], *, whole: bool, backfill: bool
    ) -> FolderCursor:
        if whole:
            done: int | None = uids[-1]
        else:
            done = mails[-1].uid if mails else None
        if done is None:
            return cursor
        return replace(cursor, backfill_next=done) if backfill else replace(cursor, last_uid=done)

    # The cursor.

    def _save(self, **changes: object) -> None:
        assert self._cursor is not None  # noqa: S101 - a folder has begun before its cursor changes
        self._store(replace(self._cursor, **changes))  # type: ignore[arg-type]  # names are checked by replace itself

    def _store(self, cursor: FolderCursor) -> None:
        if not self._ports.accounts.save_cursor(self._lease, cursor):
            raise LeaseLostError(account=self._account.name)
        self._cursor = cursor

    def _mind_the_time(self) -> None:
        if self._ports.clock() >= self._deadline or self._gives_way():
            raise self._out_of_time()

    def _out_of_time(self) -> PollBudgetError:
        return PollBudgetError(account=self._account.name, folder=self.name)

    def _has_fair_time(self) -> bool:
        return self._deadline - self._ports.clock() >= self._fair_time


def _head(mail: FetchedMail) -> bytes:
    if isinstance(mail.content, bytes):
        return mail.content[:HEAD_BYTES]
    with mail.content.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _unreadable(item: Unreadable) -> SeenMail:
    if item.oversized:
        why = Fault("oversized").dump()
        return SeenMail(uid=item.uid, state=MessageState.SKIPPED, size=item.size, error_code="oversized", error=why)
    return replace(unfetched_mail(item.uid, item.error), size=item.size)


def unfetched_mail(uid: int, error: ConcordError) -> SeenMail:
    """A message that is still to be fetched, and why it was not."""
    return SeenMail(uid=uid, state=MessageState.UNFETCHED, error_code=error.code, error=dump(error))


def fault(error: Exception, **facts: Any) -> PollFaultError:
    """Name what Concord itself did wrong; the log has the traceback."""
    cause = error.code if isinstance(error, ConcordError) else type(error).__name__
    return PollFaultError(cause=cause, **facts)
