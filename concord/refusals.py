"""Refusals of strangers: each kind in the log and, of sign-ins, in the audit; a flood leaves few lines and few rows."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

import structlog

from concord.auditing import REFUSED, write
from concord.errors import ConcordError
from concord.model.audit import AuditEntry
from concord.model.caller import Caller
from concord.model.fault import Fault
from concord.model.throttle import Budget
from concord.ports import Audit, Clock

log = structlog.get_logger(__name__)

# Rows stay for ever: ten at once, then one in ten minutes for each user, and for all unknown names together.
_ROWS: Final = (10, timedelta(minutes=10))
# Lines of the log go in time: a hundred at once, then one a second for each kind.
_LINES: Final = (100, timedelta(seconds=1))
_NOBODY: Final = ""
# Whoever reads the log or the audit must not learn what was typed as a name: people type their password there. The same
# name has the same mark as long as the process runs.
_KEY: Final = secrets.token_bytes(32)


class Refusals:
    """Writes them down, and counts those that it leaves out."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = Lock()
        self._until: dict[str, datetime] = {}
        self._left_out: Counter[str] = Counter()

    def note(self, reason: str, *, address: str, **facts: object) -> None:
        """One line in the log. `reason` is one of a few constant words."""
        left_out = self._turn(f"line {reason}", _LINES)
        if left_out is not None:
            log.warning("request.refused", reason=reason, address=address, **facts, left_out=left_out)

    def sign_in(self, typed: str, user: str | None, error: ConcordError, *, by: Caller) -> None:
        """A line, and a row of the audit. `user` is the name where there is such a user."""
        actor = user or mark(typed)
        self.note("sign_in", address=by.address, actor=actor, error=error.code)
        left_out = self._turn(f"row {user or _NOBODY}", _ROWS)
        if left_out is None:
            return
        fault = Fault.of(error)
        more = {"more_in_the_log": left_out} if left_out else {}
        write(
            self._audit,
            AuditEntry(
                at=self._clock(),
                actor=actor,
                via=by.via,
                address=by.address,
                action="user.sign_in",
                subject=actor,
                outcome=REFUSED,
                detail=Fault(fault.situation, {**more, **fault.facts}).dump(),
            ),
        )

    def _turn(self, key: str, rate: tuple[int, timedelta]) -> int | None:
        """How many were left out before this one; None where it is left out too."""
        budget, now = Budget(key, *rate), self._clock()
        with self._lock:
            until = self._until.get(key)
            if budget.wait(until, now):
                self._left_out[key] += 1
                return None
            self._until[key] = budget.until(0, until, now)
            return self._left_out.pop(key, 0)


def mark(typed: str) -> str:
    """What stands for a name that is no user's."""
    return f"unknown-{hmac.digest(_KEY, typed.encode('utf-8', 'surrogateescape'), hashlib.sha256).hex()[:12]}"
