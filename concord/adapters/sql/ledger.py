"""The memory of the pipeline: one row for each message. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from concord import __version__
from concord.adapters.sql import claims as claim_rows
from concord.adapters.sql import copies, ledger_lists
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.finishing import Finishing
from concord.adapters.sql.recording import Recording
from concord.adapters.sql.tables import messages
from concord.adapters.sql.trail import add_steps, steps_of
from concord.adapters.sql.unanswered import claiming_transaction
from concord.adapters.sql.work import LONGEST, Claiming, Spans
from concord.errors import ConcordError, InfrastructureError, NotFoundError, PermanentError
from concord.model.account import FolderCursor, PollLease
from concord.model.message import AfterState, Message, MessageRef, MessageState, PendingAfter, SeenMail, Step
from concord.model.worker import FindWorker, holder, no_worker
from concord.ports import Claim, Clock, MessageFilter, Processed, Queued

# That others were written proves for so long that the code and the schema are sound.
_PROOF: Final = timedelta(hours=1)


class ResultRefusedError(PermanentError):
    """The database would not take what was made of a message."""


class ResultUnprovenError(InfrastructureError):
    """What was made of a message cannot be written, and nothing else can: no message is to blame."""


class SqlLedger:
    """The ledger in the database."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        version: str = __version__,
        *,
        worker: FindWorker = no_worker,
        spans: Spans = LONGEST,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._version = version
        self._worker = worker
        self._spans = spans
        self._passed_at: datetime | None = None  # when this process last wrote a result

    def record(
        self, lease: PollLease, cursor: FolderCursor, mails: Sequence[SeenMail], *, events_for_copies: bool = False
    ) -> list[MessageRef] | None:
        """Rows and cursor in one transaction; the ARCHIVED rows that are new. None where the lease is gone."""
        with transaction(self._engine) as connection:
            recording = Recording(
                connection=connection,
                cursor=cursor,
                now=self._clock(),
                version=self._version,
                events_for_copies=events_for_copies,
            )
            return recording.record(lease, mails)

    def archive_keys(self, account_id: int, digests: Sequence[str]) -> dict[str, str]:
        """Where the account's mail with these contents is archived already, by content."""
        with reading(self._engine) as connection:
            return copies.archive_keys(connection, account_id, digests) if digests else {}

    def claim(self, ids: Sequence[int], *, until: datetime) -> list[Claim]:
        """Take those that wait."""
        if not ids:
            return []
        claiming = Claiming(now=self._clock(), until=until, holder=holder(self._worker), spans=self._spans)
        with claiming_transaction(self._engine, claim_rows.MESSAGES, ids, claiming) as connection:
            return claim_rows.claim(connection, ids, claiming)

    def enter(self, claim: Claim, stage: str | None) -> bool:
        """Write down where the worker is with a message that travels alone."""
        with transaction(self._engine) as connection:
            return claim_rows.enter(connection, claim, stage)

    def finish(self, results: Sequence[Processed]) -> Queued:
        """All in one transaction; where one cannot be written, each in its own, so that the good ones pass.

        A result that fails alone counts only where others pass: a defect in Concord or in the schema fails all of them.
        """
        if not results:
            return Queued()
        try:
            parts = [self._finish(results)]
        except ConcordError:
            raise
        except Exception as error:  # noqa: BLE001 - a value that no driver expected, or a defect: told apart below
            if len(results) == 1:
                return self._join([], [(results[0], error)])
            return self._finish_each(results)
        return self._join(parts, [])

    def _finish_each(self, results: Sequence[Processed]) -> Queued:
        passed, refused = [], []
        for result in results:
            try:
                passed.append(self._finish([result]))
            except ConcordError:
                raise
            except Exception as error:  # noqa: BLE001 - as in `finish`
                refused.append((result, error))
        return self._join(passed, refused)

    def _finish(self, results: Sequence[Processed]) -> Queued:
        with transaction(self._engine) as connection:
            return Finishing(connection=connection, now=self._clock()).finish(results)

    def _join(self, passed: Sequence[Queued], refused: Sequence[tuple[Processed, Exception]]) -> Queued:
        now = self._clock()
        if passed:
            self._passed_at = now
        is_proven = self._passed_at is not None and now - self._passed_at < _PROOF
        return Queued(
            deliveries=tuple(known for part in passed for known in part.deliveries),
            runs=tuple(known for part in passed for known in part.runs),
            failed=tuple((result.claim, _refusal(error, is_proven=is_proven)) for result, error in refused),
        )

    def postpone(self, claim: Claim, error: Exception, *, due_at: datetime, counts: bool) -> None:
        """Back to ARCHIVED until it is due."""
        with transaction(self._engine) as connection:
            claim_rows.postpone(connection, claim, error, (due_at, counts), self._clock())

    def give_back(
        self, claims: Sequence[Claim], error: Exception, *, due_at: datetime, suspects: Collection[int] = ()
    ) -> None:
        """Back to ARCHIVED until they are due, uncounted."""
        if not claims:
            return
        with transaction(self._engine) as connection:
            claim_rows.give_back(connection, claims, error, (due_at, suspects), self._clock())

    def quarantine(self, claim: Claim, error: Exception) -> None:
        """Out of the way, with the reason."""
        with transaction(self._engine) as connection:
            claim_rows.quarantine(connection, claim, error, self._version, self._clock())

    def get(self, message: int) -> Message:
        """By id."""
        with reading(self._engine) as connection:
            found = ledger_lists.get(connection, message)
        if found is None:
            raise _no_message(message)
        return found

    def search(self, narrowed: MessageFilter) -> list[Message]:
        """Newest first."""
        with reading(self._engine) as connection:
            return ledger_lists.search(connection, narrowed)

    def counts(self) -> dict[str, dict[MessageState, int]]:
        """By account name."""
        with reading(self._engine) as connection:
            return ledger_lists.counts(connection)

    def amount(self, account_id: int, state: MessageState | None = None, *, most: int) -> int:
        """How many messages an account has; counting ends at `most`."""
        with reading(self._engine) as connection:
            return ledger_lists.amount(connection, account_id, state, most)

    def trail(self, message_id: int) -> list[Step]:
        """Oldest step first."""
        with reading(self._engine) as connection:
            return steps_of(connection, message_id)

    def note(self, message_id: int, what: str, **detail: object) -> None:
        """Add a step to a message's trail."""
        try:
            with transaction(self._engine) as connection:
                add_steps(connection, [(message_id, what, detail)], self._clock())
        except IntegrityError as error:
            raise _no_message(message_id) from error

    def retry(self, ids: Sequence[int]) -> list[MessageRef]:
        """Quarantined and skipped ones begin anew."""
        if not ids:
            return []
        with transaction(self._engine) as connection:
            return claim_rows.retry(connection, messages.c.id.in_(ids), self._clock(), "asked for")

    def retry_upgraded(self, version: str, *, limit: int = 200) -> list[MessageRef]:
        """What an older version of Concord gave up gets one more chance, so many at a time."""
        with transaction(self._engine) as connection:
            return claim_rows.retry_upgraded(connection, version, self._clock(), limit=limit)

    def unfetched(self, account_id: int, folder: str, uidvalidity: int, *, limit: int) -> list[int]:
        """UIDs whose next try at fetching is due."""
        now = self._clock()
        with reading(self._engine) as connection:
            return ledger_lists.unfetched(connection, (account_id, folder, uidvalidity), now=now, limit=limit)

    def after_pending(self, account_id: int, folder: str, uidvalidity: int, *, limit: int) -> list[PendingAfter]:
        """Those whose after-action is due, in the order they came."""
        now = self._clock()
        with reading(self._engine) as connection:
            return ledger_lists.after_pending(connection, (account_id, folder, uidvalidity), now=now, limit=limit)

    def after_done(self, ids: Sequence[int], state: AfterState, error: str | None = None) -> None:
        """Say what came of the after-action."""
        with transaction(self._engine) as connection:
            ledger_lists.after_done(connection, ids, state, error, now=self._clock())

    def after_failed(
        self, message_id: int, error: Exception, *, due_at: datetime | None, is_copied: bool = False
    ) -> None:
        """One more failure of a pending after-action."""
        with transaction(self._engine) as connection:
            ledger_lists.after_failed(connection, message_id, error, (due_at, is_copied), now=self._clock())

    def uids(self, account_id: int, folder: str, uidvalidity: int, *, low: int, high: int) -> set[int]:
        """Those that have a row."""
        with reading(self._engine) as connection:
            return ledger_lists.uids(connection, (account_id, folder, uidvalidity), low=low, high=high)

    def stale(self, *, queued_before: datetime, limit: int) -> list[MessageRef]:
        """Due messages that were last queued before then; now they are."""
        with transaction(self._engine) as connection:
            return claim_rows.stale(
                connection, now=self._clock(), queued_before=queued_before, limit=limit, spans=self._spans
            )


def _refusal(error: Exception, *, is_proven: bool) -> ConcordError:
    if is_proven:
        refused: ConcordError = ResultRefusedError(cause=_words(error))
    else:
        refused = ResultUnprovenError(cause=_words(error))
    refused.__cause__ = error
    return refused


def _words(error: Exception) -> str:
    told = getattr(error, "orig", None) or error
    return f"{type(told).__name__}: {str(told).splitlines()[0] if str(told) else ''}"


def _no_message(message: int) -> NotFoundError:
    return NotFoundError("message", message_id=message)
