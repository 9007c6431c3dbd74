"""What a stage has in hand: the claims it has not settled, and which foreign code it is in with which of them.

Whatever way the stage is left, what is not settled goes back uncounted; a process that the database does not answer
keeps it, and gives it back before its next claim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

import structlog

from concord.errors import InfrastructureError
from concord.ports import Claim

log = structlog.get_logger(__name__)


class Hand:
    """Some claimed messages on their way through a stage."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = tuple(claims)
        self.is_alone = len(claims) == 1
        self.current: Claim | None = None  # the one that is worked on now
        self.stage: str | None = None  # the parser or a rule, with that one
        self._unsettled = {claim.message.id: claim for claim in claims}

    @property
    def unsettled(self) -> list[Claim]:
        """What has no end written down yet."""
        return list(self._unsettled.values())

    def begin(self, claim: Claim) -> None:
        """Work on that one from now on."""
        self.current, self.stage = claim, None

    def end(self) -> None:
        """Work on none."""
        self.current = self.stage = None

    def settle(self, claim: Claim) -> None:
        """Its end is written down: it is not ours any more."""
        self._unsettled.pop(claim.message.id, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Claims to be given back uncounted: why, when they are due again, and which must travel alone next."""

    claims: tuple[Claim, ...]
    error: Exception
    due_at: datetime
    suspects: frozenset[int] = frozenset()


@dataclass(slots=True)
class Kept:
    """Returns that the database did not take. One for each process; its threads share it."""

    _returns: list[Return] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def add(self, returned: Return) -> None:
        """Keep it for later."""
        with self._lock:
            self._returns.append(returned)

    def give_back(self, give: Callable[[Return], None]) -> None:
        """Try each once more. Where infrastructure is still away, that passes through, and that one and the rest stay.

        One that fails otherwise is left to its lease: a defect must not keep the process from all other work.
        """
        while returned := self._pop():
            try:
                give(returned)
            except InfrastructureError:
                self.add(returned)
                raise
            except Exception as error:
                ids = [claim.message.id for claim in returned.claims]
                log.exception("claims.left_to_lapse", error=error, count=len(ids), message_ids=ids)

    def _pop(self) -> Return | None:
        with self._lock:
            return self._returns.pop() if self._returns else None
