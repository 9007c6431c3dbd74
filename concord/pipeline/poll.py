"""One poll of one account: what is new comes into the archive first, then into the ledger, then to the workers.

The order is the guarantee (P4, P5): raw bytes durable and verified, then row and cursor in one transaction, then the
queue. Whatever stops a poll in between, the next one begins at the cursor and does the rest again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import FolderRenumberedError, MailboxDownError, MailboxError, NotFoundError, PollBudgetError
from concord.model.account import ALL_FOLDERS, Account, AccountStatus, AfterKind, PollLease
from concord.pipeline import health
from concord.pipeline.folder import FolderVisit, LeaseLostError, PollPorts, Take
from concord.ports import MailFolder, MailSource, MailSources

log = structlog.get_logger(__name__)

# The lease outlives the budget by this, so that it never lapses under a poll that is just ending.
LEASE_MARGIN: Final = timedelta(seconds=15)
# What `*` leaves out (RFC 6154): all mail once more, mail not sent yet, and what nobody wants. Each is polled where an
# account names it.
NOT_EVERY: Final = frozenset({"\\all", "\\drafts", "\\junk", "\\trash"})


class PollOutcome(StrEnum):
    """How a poll ended."""

    DONE = "done"
    PARTIAL = "partial"  # the wall-clock budget ran out; the next poll goes on
    BUSY = "busy"  # somebody else is polling it
    WAITING = "waiting"  # backing off until `next_try`
    FRESH = "fresh"  # polled just now: the message came twice
    DISABLED = "disabled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PollReport:
    """What a poll did."""

    account: str
    outcome: PollOutcome
    archived: int = 0
    skipped: int = 0
    unreadable: int = 0
    backfill: bool = False  # old mail is still to be fetched
    error: MailboxError | None = None

    def followed_by(self, more: PollReport) -> PollReport:
        """Both as one, where a slice of the backfill followed the poll."""
        return replace(
            self,
            outcome=self.outcome if more.outcome is PollOutcome.DONE else more.outcome,
            archived=self.archived + more.archived,
            skipped=self.skipped + more.skipped,
            unreadable=self.unreadable + more.unreadable,
            error=self.error or more.error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """Polls accounts, one at a time each across the whole cluster.

    With an interval, a message that finds the account polled less than half of it ago does nothing: it was queued
    twice, or handed out again after its worker died.
    """

    ports: PollPorts
    sources: MailSources
    interval: Callable[[], int] | None = None  # seconds, of accounts that have none of their own

    def poll(self, account_id: int, *, forced: bool = False) -> PollReport:
        """Take what is new. `forced` ignores the back-off. Mailbox troubles are told, not raised."""
        try:
            account = self.ports.accounts.get(account_id)
        except NotFoundError:
            return PollReport(account=str(account_id), outcome=PollOutcome.DISABLED)
        with bound_contextvars(account=account.name):
            if not account.enabled and not forced:
                return PollReport(account=account.name, outcome=PollOutcome.DISABLED)
            return self._leased(account, forced=forced)

    def _leased(self, account: Account, *, forced: bool) -> PollReport:
        now = self.ports.clock()
        status = self.ports.accounts.status(account.id)
        if not forced and health.waits(status, now, self.ports.settings):
            return PollReport(account=account.name, outcome=PollOutcome.WAITING)
        if not forced and self._is_fresh(account, status, now):
            return PollReport(account=account.name, outcome=PollOutcome.FRESH)
        deadline = now + timedelta(seconds=self.ports.settings.budget)
        lease = self._lease(account, deadline + LEASE_MARGIN)
        if lease is None:
            return PollReport(account=account.name, outcome=PollOutcome.BUSY)
        report = self._guarded(account, lease, deadline)
        if report.error is None:
            self.ports.accounts.release(lease, health.succeeded(status, self.ports.clock()))
        else:
            self.ports.accounts.release(
                lease, health.failed(status, report.error, self.ports.clock(), self.ports.settings)
            )
        if report.backfill and not (report.error and health.backs_off(report.error)):
            self.ports.queue.backfill(account.id)
        return report

    def _is_fresh(self, account: Account, status: AccountStatus, now: datetime) -> bool:
        if self.interval is None or status.begun_at is None:
            return False
        half = timedelta(seconds=(account.interval or self.interval()) / 2)
        return status.begun_at <= now < status.begun_at + half

    def _lease(self, account: Account, until: datetime) -> PollLease | None:
        """The lease; where another has it, such as a backfill, that one learns that a poll waits."""
        accounts = self.ports.accounts
        lease = accounts.lease(account.id, until=until)
        if lease is None and not accounts.wait_to_poll(account.id):
            return accounts.lease(account.id, until=until)  # given back just now
        return lease

    def _guarded(self, account: Account, lease: PollLease, deadline: datetime) -> PollReport:
        """The poll itself. What is ours and down (database, archive) is raised: no account is blamed for it."""
        visit = _Visit(ports=self.ports, account=account, lease=lease, deadline=deadline)
        try:
            with self.sources.open(account, deadline=deadline) as source:
                visit.run(source)
        except LeaseLostError:
            return visit.report(PollOutcome.PARTIAL)
        except PollBudgetError:
            return self._out_of_time(visit, account)
        except MailboxError as error:
            log.warning("poll.failed", error=error)
            return visit.report(PollOutcome.FAILED, error)
        except BaseException:
            self.ports.accounts.release(lease)
            raise
        if visit.trouble:
            log.warning("poll.failed", error=visit.trouble)
            return visit.report(PollOutcome.FAILED, visit.trouble)
        return visit.report(PollOutcome.DONE)

    def _out_of_time(self, visit: _Visit, account: Account) -> PollReport:
        """Fine where something was taken; a whole poll for nothing is a server that might as well be down."""
        if visit.took_anything:
            return visit.report(PollOutcome.PARTIAL)
        error = MailboxDownError(
            "The IMAP server is so slow that a whole poll brought nothing",
            host=account.host,
            seconds=self.ports.settings.budget,
            remedy="See whether the server is overloaded; a longer poll.budget gives it more time",
        )
        log.warning("poll.failed", error=error)
        return visit.report(PollOutcome.FAILED, error)


class _Visit:
    """One poll under way: folders first for new mail, then for what is to be done afterwards."""

    def __init__(self, *, ports: PollPorts, account: Account, lease: PollLease, deadline: datetime) -> None:
        self._ports = ports
        self._account = account
        self._lease = lease
        self._deadline = deadline
        self._visits: list[FolderVisit] = []
        self.trouble: MailboxError | None = None

    def run(self, source: MailSource) -> None:
        """What was there before the account began is a task of its own, behind all polls (P13)."""
        self._visits = list(self._folders(source))
        for visit in self._visits:
            self._try(visit.new_mail)
        for visit in self._visits:
            self._try(visit.after_actions, renumbered_is_fine=True)

    def _try(self, work: Callable[[], None], *, renumbered_is_fine: bool = False) -> None:
        """One folder's trouble is kept for the report and does not stop the others, unless the session is lost."""
        try:
            work()
        except FolderRenumberedError as error:
            # Where the folder was read before that, the next poll reads it again under its new numbers.
            log.warning("folder.renumbered", error=error)
            if not renumbered_is_fine:
                self.trouble = error
        except MailboxError as error:
            if isinstance(error, PollBudgetError) or health.backs_off(error):
                raise
            self.trouble = error

    def _folders(self, source: MailSource) -> Iterator[FolderVisit]:
        """Longest unread first: where time runs out before the last folder, another one is last next time."""
        cursors = self._ports.accounts.cursors(self._account.id)
        begun = {name: cursor.checked_at.timestamp() for name, cursor in cursors.items() if cursor.checked_at}
        for name in sorted(folders_of(self._account, source), key=lambda name: begun.get(name, 0.0)):
            yield FolderVisit(
                ports=self._ports,
                source=source,
                account=self._account,
                lease=self._lease,
                deadline=self._deadline,
                name=name,
                cursor=cursors.get(name),
            )

    @property
    def took_anything(self) -> bool:
        """Whether the ledger has more than before."""
        return self._taken() != Take()

    def _taken(self) -> Take:
        return sum((visit.taken for visit in self._visits), start=Take())

    def report(self, outcome: PollOutcome, error: MailboxError | None = None) -> PollReport:
        """Say what came of it."""
        taken = self._taken()
        if taken.archived or taken.skipped or taken.unreadable:
            log.info("poll.done", outcome=outcome.value, archived=taken.archived, skipped=taken.skipped)
        return PollReport(
            account=self._account.name,
            outcome=outcome,
            archived=taken.archived,
            skipped=taken.skipped,
            unreadable=taken.unreadable,
            backfill=any(visit.backfill_remains for visit in self._visits),
            error=error,
        )


def folders_of(account: Account, source: MailSource) -> list[str]:
    """The folders to poll. Where mail is moved to is never polled: what Concord put there is not new."""
    names = [name for name in account.folders if name != ALL_FOLDERS]
    if ALL_FOLDERS in account.folders:
        names = [*(folder.name for folder in source.folders() if _is_polled(folder, names)), *names]
    away = account.after.folder if account.after.kind is AfterKind.MOVE else None
    return [name for name in dict.fromkeys(names) if name != away]


def _is_polled(folder: MailFolder, named: list[str]) -> bool:
    return folder.name in named or not folder.uses & NOT_EVERY
