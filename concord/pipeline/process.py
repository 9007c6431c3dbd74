"""From archived bytes to an event: one message is the unit of work, a chunk of them shares its I/O.

One bad message in a chunk touches no other: it waits, or is quarantined with its reason, and its neighbours go on
(P6, P16). What follows from a message (event, deliveries, runs) is committed with it, and queued only then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import InfrastructureError, PermanentError
from concord.model.account import AfterKind
from concord.model.mail import ParsedMail
from concord.model.message import AfterState, Peek
from concord.pipeline.reading import Book, Reading, read
from concord.pipeline.retry import INFRASTRUCTURE, bug, exponential
from concord.ports import Accounts, Archive, Claim, Clock, Ledger, Processed, Queue, Rulebook
from concord.settings import ProcessSettings

log = structlog.get_logger(__name__)

# A claim outlives the hard time limit by this: while it holds, the worker is alive or about to be killed.
CLAIM_MARGIN: Final = timedelta(seconds=15)


class WorkerLostError(PermanentError):
    """The worker died each time it had this message in hand."""

    remedy = "See the workers' log for what killed them; 'concord message retry ID' tries again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """Turns messages into events."""

    ledger: Ledger
    archive: Archive
    accounts: Accounts
    rulebook: Rulebook
    queue: Queue
    settings: ProcessSettings
    default_handlers: tuple[str, ...]
    clock: Clock

    def process(self, ids: Sequence[int]) -> int:
        """Process those of these that wait; how many became events. What another worker holds is left to it."""
        until = self.clock() + timedelta(seconds=self.settings.time_limit) + CLAIM_MARGIN
        claims = self.ledger.claim(ids, until=until)
        if not claims:
            return 0
        book = Book.open(self.rulebook, self.accounts, default_handlers=self.default_handlers)
        results = [result for claim in claims if (result := self._attempt(claim, self._reader(book)))]
        kept = self._store(results)
        queued = self.ledger.finish([_processed(claim, reading, book) for claim, reading in kept])
        for claim, error in queued.failed:
            self._settle(claim, error)
        self.queue.deliver(queued.deliveries)
        self.queue.advance(queued.runs)
        failed = {claim.message.id for claim, _ in queued.failed}
        done = [claim.message for claim, _ in kept if claim.message.id not in failed]
        if done:
            # One line for all of them; in the journal each can be found by its number.
            accounts = sorted({message.account for message in done})
            log.info("process.done", count=len(done), message_ids=[message.id for message in done], accounts=accounts)
        return len(done)

    def _reader(self, book: Book) -> Callable[[Claim], Reading]:
        return lambda claim: read(claim.message, self.archive, book)

    def _attempt(self, claim: Claim, work: Callable[[Claim], Reading]) -> tuple[Claim, Reading] | None:
        """The border of one message: whatever it does, it does to itself alone."""
        with bound_contextvars(message=claim.message.id, account=claim.message.account):
            if claim.message.failures >= self.settings.max_attempts:
                self._settle(claim, WorkerLostError("The worker died each time it had this message in hand"))
                return None
            try:
                reading = work(claim)
            except Exception as error:  # noqa: BLE001 - a bug met by one mail must not stop the queue (P16)
                self._settle(claim, error)
                return None
            for warning in reading.decision.warnings:
                log.warning("rule.warning", warning=warning)
            return claim, reading

    def _store(self, results: list[tuple[Claim, Reading]]) -> list[tuple[Claim, Reading]]:
        """Attachments and event documents become durable in one go; one by one if that fails."""
        try:
            self.archive.put([blob for _, reading in results for blob in reading.blobs])
        except InfrastructureError as error:
            for claim, _ in results:
                self._settle(claim, error)
            return []
        except PermanentError:
            return [pair for pair in results if self._attempt(pair[0], self._storer(pair[1]))]
        return results

    def _storer(self, reading: Reading) -> Callable[[Claim], Reading]:
        def store(_claim: Claim) -> Reading:
            self.archive.put(reading.blobs)
            return reading

        return store

    def _settle(self, claim: Claim, error: Exception) -> None:
        """The error's family decides: wait unblamed, wait and count, or quarantine."""
        failures = claim.message.failures + 1
        if isinstance(error, InfrastructureError):
            log.warning("message.waiting", error=error)
            self.ledger.postpone(claim, error, due_at=self.clock() + INFRASTRUCTURE, counts=False)
        elif isinstance(error, PermanentError) or failures >= self.settings.max_attempts:
            log.error("message.quarantined", error=error, failures=failures, exc_info=bug(error))
            self.ledger.quarantine(claim, error)
        else:
            log.warning("message.postponed", error=error, failures=failures, exc_info=bug(error))
            delay = exponential(base=self.settings.retry_base, most=self.settings.retry_max)
            self.ledger.postpone(claim, error, due_at=self.clock() + delay(failures), counts=True)


def _processed(claim: Claim, reading: Reading, book: Book) -> Processed:
    decision = reading.decision
    account = book.accounts.get(claim.message.account_id)
    acts = account is not None and account.after.kind is not AfterKind.LEAVE
    return Processed(
        claim=claim,
        event=reading.event,
        record_key=reading.document_key,
        peek=_peek(reading.mail),
        priority=decision.priority,
        defects=reading.mail.defects,
        matched=decision.matched,
        handlers=decision.handlers,
        workflows=tuple(book.workflows[name] for name in decision.workflows if name in book.workflows),
        skipped=decision.skipped,
        after=AfterState.PENDING if acts else AfterState.NONE,
    )


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
