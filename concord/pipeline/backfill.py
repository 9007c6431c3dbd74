"""The backfill of one account: what was there before it began, in short slices behind everything else (P13).

A slice holds the account's lease. A poll that finds it taken says so, and the slice ends after the batch in hand; so no
account's regular poll loses its turn to its backfill, and no thread is held for longer than a slice and a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import InfrastructureError, MailboxError, NotFoundError, PollBudgetError
from concord.model.account import Account, FolderCursor, PollLease
from concord.pipeline import health
from concord.pipeline.folder import FolderVisit, LeaseLostError, PollPorts, Take, fault
from concord.pipeline.poll import LEASE_MARGIN, PollOutcome, PollReport, folders_of
from concord.ports import MailSource, MailSources

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfiller:
    """Fetches old mail, one slice of one account at a time."""

    ports: PollPorts
    sources: MailSources

    def backfill(self, account_id: int) -> PollReport:
        """One slice. PARTIAL: there is more, and it may go on at once; else a later poll queues it again."""
        try:
            account = self.ports.accounts.get(account_id)
        except NotFoundError:
            return PollReport(account=str(account_id), outcome=PollOutcome.DISABLED)
        with bound_contextvars(account=account.name):
            if not account.enabled:
                return PollReport(account=account.name, outcome=PollOutcome.DISABLED)
            return self._leased(account)

    def _leased(self, account: Account) -> PollReport:
        now = self.ports.clock()
        if health.waits(self.ports.accounts.status(account.id), now, self.ports.settings):
            return PollReport(account=account.name, outcome=PollOutcome.WAITING)
        self.ports.archive.require()  # what cannot be kept is not fetched (O6)
        session_ends = now + timedelta(seconds=self.ports.settings.budget)
        lease = self.ports.accounts.lease(account.id, until=session_ends + LEASE_MARGIN, background=True)
        if lease is None:
            return PollReport(account=account.name, outcome=PollOutcome.BUSY)
        slice_ends = now + timedelta(seconds=self.ports.settings.backfill_slice)
        slice_ = _Slice(ports=self.ports, account=account, lease=lease, ends=min(slice_ends, session_ends))
        try:
            report = self._guarded(slice_, account, session_ends)
            poll_waits = self.ports.accounts.poll_waits(lease)
        finally:
            self.ports.accounts.release(lease)
        if poll_waits:
            self.ports.queue.poll(account.id)
        return report

    def _guarded(self, slice_: _Slice, account: Account, deadline: datetime) -> PollReport:
        try:
            with self.sources.open(account, deadline=deadline) as source:
                slice_.run(source)
        except LeaseLostError:
            return slice_.report(PollOutcome.BUSY)
        except PollBudgetError:
            return slice_.report(PollOutcome.PARTIAL)
        except MailboxError as error:
            # The account's state is the poll's to say: it meets the same server.
            log.warning("backfill.failed", error=error)
            return slice_.report(PollOutcome.FAILED, error)
        except InfrastructureError:
            raise
        except Exception as error:
            log.exception("backfill.fault")
            return slice_.report(PollOutcome.FAILED, fault(error, account=account.name))
        return slice_.report(PollOutcome.DONE)


class _Slice:
    """One slice under way."""

    def __init__(self, *, ports: PollPorts, account: Account, lease: PollLease, ends: datetime) -> None:
        self._ports = ports
        self._account = account
        self._lease = lease
        self._ends = ends
        self._visits: list[FolderVisit] = []

    def run(self, source: MailSource) -> None:
        """Each folder that has old mail left, the longest unread first."""
        for visit in self._folders(source):
            self._visits.append(visit)
            visit.use(source)
            try:
                visit.backfill()
            except MailboxError as error:
                if isinstance(error, PollBudgetError) or health.backs_off(error):
                    raise
                # One folder's trouble; one that was renumbered in between is the next poll's to begin again.
                log.warning("backfill.failed", folder=visit.name, error=error)

    def report(self, outcome: PollOutcome, error: MailboxError | None = None) -> PollReport:
        """Say what came of it."""
        taken = sum((visit.taken for visit in self._visits), start=Take())
        if taken != Take():
            log.info("backfill.done", outcome=outcome.value, archived=taken.archived, skipped=taken.skipped)
        return PollReport(
            account=self._account.name,
            outcome=outcome,
            archived=taken.archived,
            skipped=taken.skipped,
            unreadable=taken.unreadable,
            error=error,
        )

    def _folders(self, source: MailSource) -> Iterator[FolderVisit]:
        cursors = self._ports.accounts.cursors(self._account.id)
        wanted = folders_of(self._account, source)
        left = [cursor for name, cursor in cursors.items() if cursor.backfill_next is not None and name in wanted]
        for cursor in sorted(left, key=_checked):
            yield FolderVisit(
                ports=self._ports,
                account=self._account,
                lease=self._lease,
                deadline=self._ends,
                name=cursor.folder,
                cursor=cursor,
                gives_way=self._gives_way,
            )

    def _gives_way(self) -> bool:
        return self._ports.accounts.poll_waits(self._lease)


def _checked(cursor: FolderCursor) -> float:
    return cursor.checked_at.timestamp() if cursor.checked_at else 0.0
