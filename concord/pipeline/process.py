"""From archived bytes to an event: one message is the unit of work, a chunk of them shares its I/O.

One bad message in a chunk touches no other: it waits, or is quarantined with its reason, and its neighbours go on
(P6, P16). What follows from a message (event, deliveries, runs) is committed with it, and queued only then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import (
    ArchiveDownError,
    ArchiveLossError,
    ConcordError,
    DatabaseDownError,
    InfrastructureError,
    PermanentError,
    QueueDownError,
    TransientError,
)
from concord.model.account import Account, AfterKind, Priority
from concord.model.loss import LOSS_CODES
from concord.model.mail import ParsedMail
from concord.model.message import AfterState, Message, Peek
from concord.model.rule import Decision
from concord.pipeline.hand import Hand, Kept, Return
from concord.pipeline.reading import Book, Reading, read
from concord.pipeline.retry import LOSS, bug, exponential, pause
from concord.ports import Accounts, Archive, Claim, Clock, Ledger, Losses, Processed, Queue, Rulebook
from concord.settings import ProcessSettings

log = structlog.get_logger(__name__)

# A claim outlives the hard time limit by this: while it holds, the worker is alive or about to be killed.
CLAIM_MARGIN: Final = timedelta(seconds=15)


# A message that was given back so often goes on alone: one of its neighbours may be what it waits for.
TOGETHER: Final = 3
# Nothing that one message could be the cause of.
_DOWN: Final = (ArchiveDownError, DatabaseDownError, QueueDownError)


class WorkerLostError(PermanentError):
    """The worker died each time it had this message in hand."""


class TooSlowError(TransientError):
    """A message alone took longer than a task may take."""


class TooMuchMemoryError(TransientError):
    """A message alone took more memory than there is."""


class OutOfTimeError(InfrastructureError):
    """The time of a task was used up before all of its messages were processed."""


class WorkerStoppedError(InfrastructureError):
    """The worker was stopped before it was done."""


class ClaimLostError(InfrastructureError):
    """The claim lapsed, and another worker has the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """Turns messages into events."""

    ledger: Ledger
    archive: Archive
    losses: Losses
    accounts: Accounts
    rulebook: Rulebook
    queue: Queue
    settings: ProcessSettings
    default_handlers: tuple[str, ...]
    clock: Clock
    # What a time limit raises, here and wherever the worker is at that moment.
    interrupts: tuple[type[Exception], ...] = ()
    kept: Kept = field(default_factory=Kept)

    def process(self, ids: Sequence[int]) -> int:
        """Process those of these that wait; how many became events. What another worker holds is left to it.

        Whatever way it is left, the claims that it has not settled are given back uncounted. While the archive is away
        nothing is claimed: the sweep queues what waits once more.
        """
        self.kept.give_back(self._give_back)
        try:
            self.archive.require()
        except ArchiveDownError:
            return 0
        until = self.clock() + timedelta(seconds=self.settings.time_limit) + CLAIM_MARGIN
        hand = Hand(self.ledger.claim(ids, until=until))
        if not hand.claims:
            return 0
        left: BaseException | None = None
        try:
            return self._process(hand)
        except self.interrupts as error:
            left = OutOfTimeError("task", cause=type(error).__name__)
            raise left from error
        except ArchiveDownError as error:
            left = error
            return 0
        except BaseException as error:
            left = error
            raise
        finally:
            self._leave(hand, left)

    @property
    def _limits(self) -> tuple[type[Exception], ...]:
        """What is raised where there is no more time or memory."""
        return (*self.interrupts, MemoryError)

    def _process(self, hand: Hand) -> int:
        book = Book.open(self.rulebook, self.accounts, default_handlers=self.default_handlers)
        kept = self._store(hand, self._read_all(hand, book))
        queued = self.ledger.finish([_processed(claim, reading, book) for claim, reading in kept])
        failed = {claim.message.id for claim, _ in queued.failed}
        done = [claim for claim, _ in kept if claim.message.id not in failed]
        for claim in done:
            hand.settle(claim)
        for claim, error in queued.failed:
            self._settle(hand, claim, error)
        self.queue.deliver(queued.deliveries)
        self.queue.advance(queued.runs)
        if lost := [claim.message.id for claim in done if claim.message.error_code in LOSS_CODES]:
            self.losses.settle(lost)
        if done:
            # One line for all of them; in the journal each can be found by its number.
            accounts = sorted({claim.message.account for claim in done})
            ids = [claim.message.id for claim in done]
            log.info("process.done", count=len(done), message_ids=ids, accounts=accounts)
        return len(done)

    def _read_all(self, hand: Hand, book: Book) -> list[tuple[Claim, Reading]]:
        """Read one after the other; what there is no time for waits, rather than run into the time limit."""
        enough = self.clock() + timedelta(seconds=self.settings.soft_time_limit) / 2
        results: list[tuple[Claim, Reading]] = []
        for place, claim in enumerate(hand.claims):
            if place and self.clock() >= enough:
                break
            reading = self._attempt(hand, claim, self._reader(hand, claim, book))
            results += [(claim, reading)] if reading else []
        return results

    def _reader(self, hand: Hand, claim: Claim, book: Book) -> Callable[[], Reading]:
        def enter(stage: str | None) -> None:
            hand.stage = None
            # Written down only where a death in it would count, so that the normal way costs nothing.
            if claim.message.suspect and not self.ledger.enter(claim, stage):
                raise ClaimLostError(message_id=claim.message.id)
            hand.stage = stage

        return lambda: read(claim.message, self.archive, book, enter)

    def _attempt(self, hand: Hand, claim: Claim, work: Callable[[], Reading]) -> Reading | None:
        """The border of one message: whatever it does, it does to itself alone."""
        with bound_contextvars(message=claim.message.id, account=claim.message.account):
            if claim.message.failures >= self.settings.max_attempts:
                self._settle(hand, claim, WorkerLostError())
                return None
            hand.begin(claim)
            try:
                reading = work()
            except self._limits as error:
                # In company it is no proof: the neighbours may have used up the time and the memory.
                if not (hand.is_alone and hand.stage):
                    raise
                self._settle(hand, claim, _too_dear(error, hand.stage))
                return None
            except _DOWN:
                raise  # for the neighbours, too
            except Exception as error:  # noqa: BLE001 - a bug met by one mail must not stop the queue (P16)
                self._settle(hand, claim, error)
                return None
            hand.end()
            for warning in reading.decision.warnings:
                log.warning("rule.warning", warning=warning)
            return reading

    def _store(self, hand: Hand, results: list[tuple[Claim, Reading]]) -> list[tuple[Claim, Reading]]:
        """Attachments and event documents become durable in one go; one by one if that fails."""
        not_theirs: tuple[type[Exception], ...] = (InfrastructureError, *self._limits)
        try:
            self.archive.put([blob for _, reading in results for blob in reading.blobs])
        except ArchiveLossError:
            return self._store_alone(hand, results)
        except not_theirs:
            raise
        except Exception:  # noqa: BLE001 - whose fault it is shows when each is stored alone
            return self._store_alone(hand, results)
        return results

    def _store_alone(self, hand: Hand, results: list[tuple[Claim, Reading]]) -> list[tuple[Claim, Reading]]:
        return [pair for pair in results if self._attempt(hand, pair[0], self._storer(pair[1]))]

    def _storer(self, reading: Reading) -> Callable[[], Reading]:
        def store() -> Reading:
            self.archive.put(reading.blobs)
            return reading

        return store

    def _settle(self, hand: Hand, claim: Claim, error: Exception) -> None:
        """Write down how it ends: it waits unblamed, waits and counts, or is quarantined."""
        failures = claim.message.failures + 1
        if isinstance(error, InfrastructureError) or not (hand.stage or isinstance(error, ConcordError)):
            # What is not one of our errors blames the mail only where the mail's content was being worked on.
            log.warning("message.waiting", error=error, exc_info=bug(error))
            due_at = self.clock() + (LOSS if isinstance(error, ArchiveLossError) else pause(_uncounted(claim)))
            suspects = frozenset([claim.message.id])
            self._give_back(Return(claims=(claim,), error=error, due_at=due_at, suspects=suspects))
            if isinstance(error, ArchiveLossError):
                self.losses.add(claim.message.id, error)
        elif isinstance(error, PermanentError) or failures >= self.settings.max_attempts:
            log.error("message.quarantined", error=error, failures=failures, exc_info=bug(error))
            self.ledger.quarantine(claim, error)
        else:
            log.warning("message.postponed", error=error, failures=failures, exc_info=bug(error))
            delay = exponential(base=self.settings.retry_base, most=self.settings.retry_max)
            self.ledger.postpone(claim, error, due_at=self.clock() + delay(failures), counts=True)
        hand.settle(claim)
        hand.end()

    def _leave(self, hand: Hand, left: BaseException | None) -> None:
        """Give back what is not settled; keep it where the database does not answer."""
        claims = tuple(hand.unsettled)
        if not claims:
            return
        why, wait = _reason(left), timedelta(0)
        if isinstance(left, Exception):
            wait = pause(max(map(_uncounted, claims)))
        # The one in hand may be what hung or what was slow; and what waits again and again may hold up its neighbours.
        slow = {hand.current.message.id} if hand.current and isinstance(left, Exception) else set()
        again = {claim.message.id for claim in claims if _uncounted(claim) > TOGETHER}
        returned = Return(claims=claims, error=why, due_at=self.clock() + wait, suspects=frozenset(slow | again))
        ids = [claim.message.id for claim in claims]
        try:
            self._give_back(returned)
        except Exception as error:  # noqa: BLE001 - whatever keeps the database from it: the process tries again
            log.warning("claims.kept", error=error, count=len(claims), message_ids=ids)
            self.kept.add(returned)
        else:
            log.warning("claims.given_back", error=why, count=len(claims), message_ids=ids)

    def _give_back(self, returned: Return) -> None:
        self.ledger.give_back(returned.claims, returned.error, due_at=returned.due_at, suspects=returned.suspects)


def _reason(left: BaseException | None) -> Exception:
    if left is None:
        return OutOfTimeError("others")
    return left if isinstance(left, Exception) else WorkerStoppedError()


def _uncounted(claim: Claim) -> int:
    """How many tries of it, this one included, counted nothing."""
    return max(claim.attempt - claim.message.failures, 1)


def _too_dear(error: BaseException, stage: str) -> Exception:
    if isinstance(error, MemoryError):
        return TooMuchMemoryError(stage=stage)
    return TooSlowError(stage=stage)


def _processed(claim: Claim, reading: Reading, book: Book) -> Processed:
    decision = reading.decision
    account = book.accounts.get(claim.message.account_id)
    return Processed(
        claim=claim,
        event=reading.event,
        record_key=reading.document_key,
        peek=_peek(reading.mail),
        priority=decision.priority,
        urgency=_urgency(claim.message, decision),
        defects=reading.mail.defects,
        matched=decision.matched,
        handlers=decision.handlers,
        workflows=tuple(book.workflows[name] for name in decision.workflows if name in book.workflows),
        skipped=decision.skipped,
        after=_after(account, skipped=decision.skipped),
    )


def _urgency(message: Message, decision: Decision) -> Priority:
    """How soon its deliveries go out. Old mail, which a backfill queued as LOW, stays behind today's (P13).

    Its event still says how urgent it once was; only a rule makes its deliveries so.
    """
    late = message.priority is Priority.LOW and decision.rule_priority is None
    return Priority.LOW if late else decision.priority


def _after(account: Account | None, *, skipped: bool) -> AfterState:
    """A mail that a rule skips has reached nobody: it is marked or moved like any other, and never deleted."""
    kind = AfterKind.LEAVE if account is None else account.after.kind
    if kind is AfterKind.LEAVE or (skipped and kind is AfterKind.DELETE):
        return AfterState.NONE
    return AfterState.PENDING


def _peek(mail: ParsedMail) -> Peek:
    return Peek(
        message_id=mail.message_id,
        subject=mail.subject,
        sender=f"{mail.from_[0].name} <{mail.from_[0].address}>".strip() if mail.from_ else None,
        recipients=tuple(to.address for to in mail.to),
        cc=tuple(cc.address for cc in mail.cc),
        date=mail.date,
        priority=mail.priority,
    )
