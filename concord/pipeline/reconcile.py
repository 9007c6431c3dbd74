"""Comparing the ledger with the server: every mail there that Concord should have has a row (O7).

What is ours is said by each folder's cursor: from where reading began up to the last UID read, but for what the
backfill has still to fetch. Mails that were removed from the server meanwhile count for nothing, whoever had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import FolderRenumberedError, MailboxError, NotFoundError, PollBudgetError
from concord.model.account import Account, AccountNote, AccountState, AccountStatus, FolderCursor
from concord.model.fault import Fault
from concord.model.message import MessageState, SeenMail
from concord.pipeline.listing import Listing
from concord.pipeline.poll import folders_of
from concord.pipeline.start import asked_for
from concord.ports import Accounts, Clock, Ledger, MailSource, MailSources, Queue
from concord.settings import PollSettings, UpkeepSettings

log = structlog.get_logger(__name__)

# Where mails are missing, the next look comes as soon as a poll may have fetched them.
AGAIN: Final = timedelta(minutes=5)
# So many of a folder are asked for again at once; the next look finds the rest.
MOST: Final = 500
LEASE: Final = timedelta(seconds=30)
REASON: Final = Fault("unaccounted").dump()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """What the ledger lacks of one folder, under the numbers that the cursor names."""

    cursor: FolderCursor
    uids: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Looks at each account once in a while. Looking twice, or at the same time as a poll, harms nothing."""

    accounts: Accounts
    ledger: Ledger
    sources: MailSources
    queue: Queue
    poll: PollSettings
    upkeep: UpkeepSettings
    clock: Clock

    def begin(self) -> int:
        """Queue the accounts whose time has come; how many."""
        statuses = self.accounts.statuses()
        due = [one for one in self.accounts.all(enabled_only=True) if self._is_due(statuses.get(one.id))]
        for account in due:
            self.queue.reconcile(account.id)
        return len(due)

    def reconcile(self, account_id: int) -> int | None:
        """How many mails the ledger lacked; from now on a poll fetches them. None: it could not be said, or not now."""
        try:
            account = self.accounts.get(account_id)
        except NotFoundError:
            return None
        if not account.enabled or not self._is_due(self.accounts.status(account.id)):
            return None
        with bound_contextvars(account=account.name):
            return self._guarded(account)

    def _is_due(self, status: AccountStatus | None) -> bool:
        """Of accounts that fail, their state tells; what they lack is counted when they work."""
        if status is None or status.state is not AccountState.OK:
            return False
        pause = timedelta(seconds=self.upkeep.reconcile_interval)
        if (status.unaccounted or 0) > status.lost:
            pause = min(pause, AGAIN)
        return status.reconciled_at is None or self.clock() - status.reconciled_at >= pause

    def _guarded(self, account: Account) -> int | None:
        # Read before the server is asked: whatever is listed up to these cursors was recorded with them.
        cursors = self.accounts.cursors(account.id)
        deadline = self.clock() + timedelta(seconds=self.poll.budget)
        try:
            with self.sources.open(account, deadline=deadline) as source:
                gaps = list(self._gaps(account, source, cursors))
        except PollBudgetError as error:
            log.warning("reconcile.too_slow", error=error)
            self.accounts.reconciled(account.id, None)
            return None
        except MailboxError as error:
            log.warning("reconcile.failed", error=error)
            return None
        count = sum(len(gap.uids) for gap in gaps)
        self.accounts.reconciled(account.id, count)
        if count:
            log.error("account.unaccounted", count=count, folders={gap.cursor.folder: len(gap.uids) for gap in gaps})
            self._have_fetched(account, gaps)
        return count

    def _gaps(self, account: Account, source: MailSource, cursors: Mapping[str, FolderCursor]) -> Iterator[_Gap]:
        is_search_wrong = False
        for name in folders_of(account, source):
            cursor = cursors.get(name)
            if cursor is None:
                continue
            try:
                status = source.select(name, uidvalidity=cursor.uidvalidity)
            except FolderRenumberedError:
                continue  # the next poll reads the folder again, and recognises the messages by their content
            listing = Listing(source, status)
            listing.verify()
            if uids := self._lacking(account, cursor, listing):
                yield _Gap(cursor=cursor, uids=uids)
            is_search_wrong = is_search_wrong or listing.is_search_wrong
        self.accounts.note(account.id, AccountNote.SEARCH_UNRELIABLE, holds=is_search_wrong)

    def _lacking(self, account: Account, cursor: FolderCursor, listing: Listing) -> list[int]:
        begun, lacking = _begun(cursor), []
        for listed in listing.windows(cursor.backfill_low, cursor.last_uid):
            if not listed:
                continue
            low, high = listed[0], listed[-1]
            known = self.ledger.uids(cursor.account_id, cursor.folder, cursor.uidvalidity, low=low, high=high)
            unknown = [uid for uid in listed if uid not in known and not _is_to_come(uid, cursor)]
            there = [uid for uid in unknown if uid <= begun]
            lacking += asked_for(account, cursor, listing, there) if cursor.backfill_low <= begun else there
            lacking += [uid for uid in unknown if uid > begun]
        return lacking

    def _have_fetched(self, account: Account, gaps: Sequence[_Gap]) -> None:
        """Give each a row that says it is still to be fetched. Where a poll is under way, the next look does it."""
        lease = self.accounts.lease(account.id, until=self.clock() + LEASE, background=True)
        if lease is None:
            return
        try:
            cursors = self.accounts.cursors(account.id)
            for gap in gaps:
                cursor = cursors[gap.cursor.folder]
                if cursor.uidvalidity == gap.cursor.uidvalidity:
                    self.ledger.record(lease, cursor, [_unfetched(uid) for uid in gap.uids[:MOST]])
        finally:
            self.accounts.release(lease)


def _begun(cursor: FolderCursor) -> int:
    return cursor.last_uid if cursor.begun_uid is None else cursor.begun_uid


def _is_to_come(uid: int, cursor: FolderCursor) -> bool:
    return cursor.backfill_next is not None and uid < cursor.backfill_next


def _unfetched(uid: int) -> SeenMail:
    return SeenMail(uid=uid, state=MessageState.UNFETCHED, error_code="unaccounted", error=REASON)
