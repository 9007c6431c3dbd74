"""One poll of one account: what is new comes into the archive first, then into the ledger, then to the workers.

The order is the guarantee (P4, P5): raw bytes durable and verified, then row and cursor in one transaction, then the
queue. Whatever stops a poll in between, the next one begins at the cursor and does the rest again.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import (
    FolderRenumberedError,
    InfrastructureError,
    MailboxDownError,
    MailboxError,
    NotFoundError,
    PollBudgetError,
)
from concord.model.account import ALL_FOLDERS, Account, AccountStatus, AfterKind, FolderCursor, PollLease
from concord.pipeline import health
from concord.pipeline.folder import FolderVisit, LeaseLostError, PollPorts, Take, fault
from concord.pipeline.refetch import Refetch
from concord.ports import MailFolder, MailSource, MailSources

log = structlog.get_logger(__name__)

# The lease outlives the budget by this, so that it never lapses under a poll that is just ending.
LEASE_MARGIN: Final = timedelta(seconds=15)
# What `*` leaves out (RFC 6154): all mail once more, mail not sent yet, and what nobody wants. Each is polled where an
# account names it.
NOT_EVERY: Final = frozenset({"\\all", "\\drafts", "\\junk", "\\trash"})

# One session, and others for the rest where a folder ended it. Each is a login.
SESSIONS_PER_POLL: Final = 3


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
        """Take what is new. `forced` ignores the back-off. Mailbox troubles are reported, not raised."""
        # Read before the account: what a poll with an old login meets must not be said of a new one.
        status = self.ports.accounts.status(account_id)
        try:
            account = self.ports.accounts.get(account_id)
        except NotFoundError:
            return PollReport(account=str(account_id), outcome=PollOutcome.DISABLED)
        with bound_contextvars(account=account.name):
            if not account.enabled and not forced:
                return PollReport(account=account.name, outcome=PollOutcome.DISABLED)
            return self._leased(account, status, forced=forced)

    def _leased(self, account: Account, status: AccountStatus, *, forced: bool) -> PollReport:
        now = self.ports.clock()
        if not forced and health.waits(status, now, self.ports.settings):
            return PollReport(account=account.name, outcome=PollOutcome.WAITING)
        if not forced and self._is_fresh(account, status, now):
            return PollReport(account=account.name, outcome=PollOutcome.FRESH)
        # Before the server is asked: what cannot be kept is not fetched (O6).
        self.ports.archive.require()
        deadline = now + timedelta(seconds=self.ports.settings.budget)
        lease = self._lease(account, deadline + LEASE_MARGIN)
        if lease is None:
            return PollReport(account=account.name, outcome=PollOutcome.BUSY)
        visit = _Visit(
            ports=self.ports, account=account, lease=lease, deadline=deadline, is_failing=bool(status.failures)
        )
        try:
            report = self._guarded(visit)
            after = self._after(status, report)
        except BaseException:
            # Infrastructure that is away, a stop, a soft time limit: the account's state stays, and others may poll it.
            with contextlib.suppress(InfrastructureError):
                self.ports.accounts.release(lease)
            raise
        self.ports.accounts.release(lease, after)
        if report.backfill and not (report.error and health.backs_off(report.error)):
            self.ports.queue.backfill(account.id)
        return report

    def _after(self, status: AccountStatus, report: PollReport) -> AccountStatus:
        if report.error is None:
            return health.succeeded(status, self.ports.clock())
        return health.failed(status, report.error, self.ports.clock(), self.ports.settings)

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

    def _guarded(self, visit: _Visit) -> PollReport:
        """The poll itself. What is ours and down (database, archive) is raised: no account is blamed for it."""
        try:
            self._run(visit)
        except InfrastructureError:
            raise
        except LeaseLostError:
            return visit.report(PollOutcome.PARTIAL)
        except PollBudgetError as error:
            return self._out_of_time(visit, error)
        except MailboxError as error:
            return self._failed(visit, error)
        except Exception as error:
            log.exception("poll.fault")
            return self._failed(visit, fault(error, account=visit.account.name))
        return self._failed(visit, visit.trouble) if visit.trouble else visit.report(PollOutcome.DONE)

    def _run(self, visit: _Visit) -> None:
        """Where one folder ends the session, the others are read in another one."""
        for _ in range(SESSIONS_PER_POLL):
            visit.has_lost_session = False
            try:
                with self.sources.open(visit.account, deadline=visit.deadline) as source:
                    visit.run(source)
            except Exception as error:
                if not visit.has_lost_session:
                    raise
                log.warning("poll.session_lost", error=error)
            else:
                return

    @staticmethod
    def _failed(visit: _Visit, error: MailboxError) -> PollReport:
        visit.remember_turn()
        log.warning("poll.failed", error=error)
        return visit.report(PollOutcome.FAILED, error)

    def _out_of_time(self, visit: _Visit, error: PollBudgetError) -> PollReport:
        """Fine where something was taken or checked; a server that is too slow for either might as well be down."""
        if visit.trouble:
            return self._failed(visit, visit.trouble)
        if visit.has_progress or error.kept:
            visit.remember_turn()
            return visit.report(PollOutcome.PARTIAL)
        slow = MailboxDownError("too_slow", host=visit.account.host, seconds=self.ports.settings.budget)
        return self._failed(visit, slow)


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing to do with one folder."""

    visit: FolderVisit
    work: Callable[[], None]
    is_quiet: bool = False  # its mailbox troubles are recorded for the message, and say nothing of the account


class _Visit:
    """One poll under way: new mail of all folders, then after-actions, then what is asked for again."""

    def __init__(
        self, *, ports: PollPorts, account: Account, lease: PollLease, deadline: datetime, is_failing: bool
    ) -> None:
        self.account = account
        self.deadline = deadline
        self.trouble: MailboxError | None = None
        self.has_lost_session = False
        self._ports = ports
        self._lease = lease
        self._is_failing = is_failing
        self._visits: list[FolderVisit] = []
        self._steps: deque[_Step] | None = None  # None: the folders are not known yet
        self._ended_quietly = False

    def run(self, source: MailSource) -> None:
        """Go on where the last session ended."""
        if self._steps is None:
            self._visits = list(self._folders(source))
            self._steps = deque(self._all_steps())
        while self._steps:
            if self._ports.clock() >= self.deadline:
                # Before the next one is taken off: it has had no turn.
                raise PollBudgetError(account=self.account.name)
            step = self._steps.popleft()
            step.visit.use(source)
            self._take(step)
        self._refetch(source)

    def _all_steps(self) -> Iterator[_Step]:
        """What was there before the account began is a task of its own, behind all polls (P13)."""
        for visit in self._visits:
            yield _Step(visit, visit.new_mail)
        for visit in self._visits:
            yield _Step(visit, visit.after_actions)
        for visit in self._visits:
            yield _Step(visit, visit.retry_unfetched, is_quiet=True)

    def _refetch(self, source: MailSource) -> None:
        """Ask for what the archive lost. Its troubles concern those messages, and say nothing of the account."""
        try:
            Refetch(ports=self._ports, source=source, account_id=self.account.id).run()
        except InfrastructureError:
            raise
        except PollBudgetError:
            self._ended_quietly = True
            raise
        except Exception:
            # What was being asked for is not due for a while: the next session goes on behind it.
            self.has_lost_session = True
            raise

    def _take(self, step: _Step) -> None:
        """One folder's trouble is kept for the report and does not stop the others."""
        try:
            step.work()
        except InfrastructureError:
            raise
        except FolderRenumberedError as error:
            # Where the folder was read before that, the next poll reads it again under its new numbers.
            log.warning("folder.renumbered", error=error)
            if not step.visit.was_read:
                self.trouble = error
        except MailboxError as error:
            self._keep(step, error)
        except Exception as error:
            log.exception("folder.fault", folder=step.visit.name)
            step.visit.was_read = False
            self.trouble = fault(error, account=self.account.name, folder=step.visit.name)
            # Nobody knows what the server still has to say in this session.
            self.has_lost_session = True
            raise

    def _keep(self, step: _Step, error: MailboxError) -> None:
        if isinstance(error, PollBudgetError):
            self._ended_quietly = step.is_quiet
            raise error
        if not health.backs_off(error):
            self.trouble = error
            return
        if health.ends_session(error):
            self.has_lost_session = True
            if not step.is_quiet:
                self.trouble = error
        raise error

    def _folders(self, source: MailSource) -> Iterator[FolderVisit]:
        """Longest unread first: where time runs out before the last folder, another one is last next time."""
        cursors = self._ports.accounts.cursors(self.account.id)
        names = sorted(folders_of(self.account, source), key=lambda name: self._turn(cursors.get(name)))
        statuses = source.statuses(names)
        for name in names:
            yield FolderVisit(
                ports=self._ports,
                account=self.account,
                lease=self._lease,
                deadline=self.deadline,
                name=name,
                cursor=cursors.get(name),
                status=statuses.get(name),
            )

    def _turn(self, cursor: FolderCursor | None) -> float:
        if cursor is None:
            # While something fails it may be this one, which has no cursor yet to remember that it had its turn.
            return math.inf if self._is_failing else 0.0
        return max((at.timestamp() for at in (cursor.checked_at, cursor.visited_at) if at), default=0.0)

    def remember_turn(self) -> None:
        """Of many folders, those that had their turn in this poll come last in the next."""
        waiting = self._waiting()
        if waiting:
            visited = [visit.name for visit in self._visits if visit.name not in waiting]
            self._ports.accounts.note_visits(self._lease, visited)

    @property
    def has_progress(self) -> bool:
        """Whether the poll brought something; of many folders, those that were checked come last next time."""
        if self._taken() != Take() or self._ended_quietly:
            return True
        return bool(self._waiting()) and any(visit.was_read for visit in self._visits)

    def _waiting(self) -> set[str]:
        """Folders that had no turn."""
        return {step.visit.name for step in self._steps or () if step.work == step.visit.new_mail}

    def _taken(self) -> Take:
        return sum((visit.taken for visit in self._visits), start=Take())

    def report(self, outcome: PollOutcome, error: MailboxError | None = None) -> PollReport:
        """Say what came of it."""
        taken = self._taken()
        if taken.archived or taken.skipped or taken.unreadable:
            log.info("poll.done", outcome=outcome.value, archived=taken.archived, skipped=taken.skipped)
        return PollReport(
            account=self.account.name,
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
