"""The deliveries and runs that this process has claimed: renewed while they last, settled, or given back.

What a receiver has taken must not be sent again because the database cannot write it down: the outcome is remembered,
and recorded once the database answers. Until then the claim is renewed, so that nobody else takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from concord.errors import DatabaseDownError, InfrastructureError
from concord.model.delivery import Delivery
from concord.model.workflow import WorkflowRun
from concord.ports import Clock, Outbox

log = structlog.get_logger(__name__)

# Short, so that what a dead worker had claimed is soon free; renewed in time even where one renewal fails.
LEASE: Final = timedelta(minutes=2)
RENEW_SECONDS: Final = 20

Claimed = Delivery | WorkflowRun
Key = tuple[type[Claimed], int]
T = TypeVar("T")


class Hands:
    """One process's claims. Any thread may use it."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._held: dict[Key, Claimed] = {}
        self._unrecorded: dict[Key, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._recording = threading.Lock()

    @property
    def until(self) -> datetime:
        """When a claim made now lapses, unless it is renewed."""
        return self._clock() + LEASE

    def hold(self, claims: Iterable[Claimed]) -> None:
        """Renew these from now on."""
        with self._lock:
            self._held |= {_key(claim): claim for claim in claims}

    def has(self, kind: type[Claimed], row_id: int) -> bool:
        """Whether this process has it, or still owes its outcome to the database."""
        with self._lock:
            return (kind, row_id) in self._held

    def settle(self, claim: Claimed, record: Callable[[], T]) -> T | None:
        """Write an outcome down. Where the database does not answer it is remembered, and the answer is None."""
        try:
            done = record()
        except InfrastructureError as error:
            log.warning("outcome.remembered", error=error, kind=_kind(claim), id=claim.id)
            with self._lock:
                self._unrecorded[_key(claim)] = record
            return None
        self._drop([claim])
        return done

    def give_back(
        self, claims: Sequence[Claimed], *, due_at: datetime | None = None, error: Exception | None = None
    ) -> None:
        """Let claims go uncounted; where the database does not answer, later. `error` says what was in the way."""
        for kind in (Delivery, WorkflowRun):
            ours = [claim for claim in claims if isinstance(claim, kind)]
            if ours:
                self._give_back(ours, due_at or self._clock(), error)

    def give_back_unsettled(self, claims: Sequence[Claimed]) -> set[int]:
        """Let those of these go that have no outcome yet; their ids."""
        with self._lock:
            ours = [one for one in claims if _key(one) in self._held and _key(one) not in self._unrecorded]
        self.give_back(ours)
        return {claim.id for claim in ours}

    def _give_back(self, ours: Sequence[Claimed], due_at: datetime, error: Exception | None) -> None:
        give = partial(self._outbox.give_back, due_at=due_at, error=error)
        try:
            give(ours)
        except InfrastructureError as trouble:
            log.warning("claims.kept", error=trouble, kind=_kind(ours[0]), count=len(ours))
            with self._lock:
                self._unrecorded |= {_key(claim): partial(give, [claim]) for claim in ours}
        else:
            self._drop(ours)

    def record_remembered(self) -> None:
        """Write down what could not be before. Raises DatabaseDownError where something is still owed."""
        if not self._unrecorded:
            return
        if not self._recording.acquire(blocking=False):
            raise DatabaseDownError("unrecorded", outcomes=len(self._unrecorded))
        try:
            for key, record in list(self._unrecorded.items()):
                self._record(record)
                with self._lock:
                    self._unrecorded.pop(key, None)
                    self._held.pop(key, None)
        finally:
            self._recording.release()

    @staticmethod
    def _record(record: Callable[[], object]) -> None:
        try:
            record()
        except InfrastructureError:
            raise
        except Exception:
            # What the database will never take must not keep the others from being recorded.
            log.exception("outcome.lost")

    def renew(self) -> None:
        """Renew every claim, in one statement for each kind; and try to record what is owed."""
        with self._lock:
            held = list(self._held.values())
        for kind in (Delivery, WorkflowRun):
            if ours := [claim for claim in held if isinstance(claim, kind)]:
                self._outbox.renew(ours, until=self.until)
        self.record_remembered()

    def give_back_all(self) -> None:
        """The process ends, and its threads with it: whoever takes these next needs not wait."""
        with self._lock:
            held = list(self._held.values())
        self.give_back_unsettled(held)

    def keep_renewing(self) -> None:
        """Renew in a thread of this process's own, as long as it lives."""
        threading.Thread(target=self._renew_for_ever, name="claims", daemon=True).start()

    def _renew_for_ever(self) -> None:
        pause = threading.Event()
        while not pause.wait(RENEW_SECONDS):
            try:
                self.renew()
            except InfrastructureError as error:
                log.warning("claims.not_renewed", error=error)
            except Exception:
                log.exception("claims.not_renewed")

    def _drop(self, claims: Iterable[Claimed]) -> None:
        with self._lock:
            for claim in claims:
                self._held.pop(_key(claim), None)


def _key(claim: Claimed) -> Key:
    return type(claim), claim.id


def _kind(claim: Claimed) -> str:
    return "delivery" if isinstance(claim, Delivery) else "workflow"
