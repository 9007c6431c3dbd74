"""After-actions (P12): mark, move or delete on the server what is processed and durable.

Before a message is moved or deleted, the server's size of that UID must be what the ledger has, and the archive must
have the object: a command that cannot be taken back is given only where nothing can be lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from concord.errors import (
    AfterNotArchivedError,
    AfterSizeError,
    ConcordError,
    FolderRenumberedError,
    MailboxError,
    MoveUnfinishedError,
)
from concord.model.account import AfterAction, AfterKind, FolderCursor
from concord.model.message import AfterState, PendingAfter
from concord.pipeline import health
from concord.ports import Archive, Clock, Ledger, MailFacts, MailSource

log = structlog.get_logger(__name__)

AFTER_PER_POLL: Final = 500
# So many at a time: what is done is recorded before the next begin.
AFTER_BATCH: Final = 100
# A server that refuses is asked again after 5, 10, 20 ... minutes; after about a day the message is left as it is.
AFTER_ATTEMPTS: Final = 10
AFTER_BACKOFF: Final = timedelta(minutes=5)
AFTER_BACKOFF_MOST: Final = timedelta(hours=6)
# Where a batch is refused, each message is tried alone, until so many in a row are refused as well.
REFUSALS: Final = 3

_IRREVERSIBLE: Final = (AfterKind.MOVE, AfterKind.DELETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterActions:
    """One folder's after-actions during one poll."""

    ledger: Ledger
    archive: Archive
    source: MailSource
    clock: Clock
    action: AfterAction
    cursor: FolderCursor
    mind_the_time: Callable[[], None]

    def run(self) -> None:
        """Carry out what is due. Raises the first trouble that the account's state should show."""
        cursor = self.cursor
        waiting = self.ledger.after_pending(cursor.account_id, cursor.folder, cursor.uidvalidity, limit=AFTER_PER_POLL)
        if not waiting:
            return
        self.mind_the_time()
        self.source.select(cursor.folder, uidvalidity=cursor.uidvalidity, writable=True)
        troubles: list[MailboxError] = []
        for start in range(0, len(waiting), AFTER_BATCH):
            self.mind_the_time()
            batch = self._allowed(waiting[start : start + AFTER_BATCH])
            # What an earlier attempt has copied is not copied again.
            troubles += self._attempt([one for one in batch if one.is_copied], self.source.delete)
            troubles += self._attempt([one for one in batch if not one.is_copied], self._carry_out)
        if troubles:
            raise troubles[0]

    def _carry_out(self, uids: Sequence[int]) -> None:
        match self.action.kind:
            case AfterKind.SEEN:
                self.source.mark(uids, "\\Seen")
            case AfterKind.FLAG:
                self.source.mark(uids, "\\Flagged")
            case AfterKind.MOVE:
                self.source.move(uids, self.action.folder or "")
            case AfterKind.DELETE:
                self.source.delete(uids)
            case AfterKind.LEAVE:
                pass

    # What may be moved or deleted.

    def _allowed(self, batch: Sequence[PendingAfter]) -> list[PendingAfter]:
        if self.action.kind not in _IRREVERSIBLE:
            return list(batch)
        found = self.source.describe([one.uid for one in batch])
        # Gone, or marked by an earlier attempt on a server that cannot expunge single messages: nothing is left to do.
        settled = [one for one in batch if one.uid not in found or found[one.uid].is_deleted]
        self._settle(settled)
        allowed = []
        for one in batch:
            if one not in settled:
                if refusal := self._refusal(one, found[one.uid]):
                    self._hold(one, refusal)
                else:
                    allowed.append(one)
        return allowed

    def _refusal(self, one: PendingAfter, facts: MailFacts) -> ConcordError | None:
        if one.size is None or facts.size != one.size:
            return AfterSizeError(uid=one.uid, size=facts.size, archived=one.size)
        stored = self.archive.stat(one.archive_key) if one.archive_key else None
        if stored is None or stored.size != one.size:
            return AfterNotArchivedError(uid=one.uid, key=one.archive_key)
        return None

    def _hold(self, one: PendingAfter, refusal: ConcordError) -> None:
        log.error("after.held", message=one.message_id, folder=self.cursor.folder, error=refusal)
        # An object that is missing may come back; a size that differs will differ tomorrow.
        again = isinstance(refusal, AfterNotArchivedError)
        self._record_failure(one, refusal, again=again)

    # Attempts.

    def _attempt(self, batch: Sequence[PendingAfter], act: Callable[[Sequence[int]], None]) -> list[MailboxError]:
        """Act on all of them at once; where the server refuses that, on each alone. What was refused, and why."""
        if not batch:
            return []
        refusal = self._refused(batch, act)
        if refusal is None or len(batch) == 1 or isinstance(refusal, MoveUnfinishedError):
            return [refusal] if refusal else []
        in_a_row = 0
        for place, one in enumerate(batch):
            if in_a_row == REFUSALS:
                for other in batch[place:]:
                    self._record_failure(other, refusal)
                break
            self.mind_the_time()
            in_a_row = in_a_row + 1 if self._refused([one], act) else 0
        return [refusal]

    def _refused(self, batch: Sequence[PendingAfter], act: Callable[[Sequence[int]], None]) -> MailboxError | None:
        try:
            act([one.uid for one in batch])
        except MoveUnfinishedError as error:
            self._record_copies(batch, error)
            if isinstance(error.__cause__, MailboxError) and health.backs_off(error.__cause__):
                raise error.__cause__ from error  # the session is lost
            return error
        except MailboxError as error:
            if health.backs_off(error) or isinstance(error, FolderRenumberedError):
                raise
            if len(batch) == 1:
                self._record_failure(batch[0], error)
            return error
        self._settle(batch)
        return None

    def _record_copies(self, batch: Sequence[PendingAfter], error: MoveUnfinishedError) -> None:
        for one in batch:
            self._record_failure(one, error, is_copied=one.uid in error.uids)

    def _record_failure(
        self, one: PendingAfter, error: ConcordError, *, again: bool = True, is_copied: bool = False
    ) -> None:
        pause = min(AFTER_BACKOFF * 2 ** min(one.failures, 20), AFTER_BACKOFF_MOST)
        last = not again or one.failures + 1 >= AFTER_ATTEMPTS
        self.ledger.after_failed(
            one.message_id, error, due_at=None if last else self.clock() + pause, is_copied=is_copied or one.is_copied
        )

    def _settle(self, batch: Sequence[PendingAfter]) -> None:
        if batch:
            self.ledger.after_done([one.message_id for one in batch], AfterState.DONE)
            log.info("after.done", folder=self.cursor.folder, action=str(self.action), count=len(batch))
