"""How an account is doing, and when to ask it again: the typed states of A5, back-off with jitter, the circuit.

A failing account is tried ever more slowly; one try at a time (the poll lease) is the half-open probe, and one success
closes the circuit. A refused login waits longest from the first: nobody is locked out by Concord.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from concord.errors import (
    FolderRenumberedError,
    MailboxBudgetError,
    MailboxDeniedError,
    MailboxDnsError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxForbiddenError,
    MailboxProtocolError,
    MailboxQuotaError,
    MailboxServerError,
    MailboxThrottledError,
    MailboxTlsError,
    MoveUnfinishedError,
    PollFaultError,
    SessionLostError,
)
from concord.model.account import AccountState, AccountStatus
from concord.model.fault import dump
from concord.settings import PollSettings

DENIED_FIRST: Final = timedelta(minutes=15)
DENIED_MOST: Final = timedelta(hours=6)
# A server may ask for more; nobody should have to wait for it when it was a mistake.
RETRY_AFTER_MOST: Final = timedelta(hours=6)
# Two readings of the clock may differ by so much.
CLOCK_MARGIN: Final = timedelta(minutes=1)

# The first class that fits names the state.
_STATES: Final[tuple[tuple[type[MailboxError], AccountState], ...]] = (
    (MailboxDeniedError, AccountState.AUTH_FAILED),
    (MailboxTlsError, AccountState.TLS),
    (MailboxDnsError, AccountState.DNS),
    (MailboxThrottledError, AccountState.THROTTLED),
    (MailboxFolderError, AccountState.FOLDER_MISSING),
    (MailboxQuotaError, AccountState.QUOTA),
    (MailboxDownError, AccountState.UNREACHABLE),
    (MailboxForbiddenError, AccountState.UNREACHABLE),
    (PollFaultError, AccountState.INTERNAL_ERROR),
)

_OF_A_FOLDER: Final = MailboxFolderError | MailboxQuotaError | FolderRenumberedError | MoveUnfinishedError


def succeeded(status: AccountStatus, now: datetime) -> AccountStatus:
    """The circuit is closed; the last error stays readable."""
    return replace(status, state=AccountState.OK, failures=0, last_poll=now, last_success=now, next_try=None)


def failed(status: AccountStatus, error: MailboxError, now: datetime, settings: PollSettings) -> AccountStatus:
    """One more failure in a row, and when to try next."""
    failures = status.failures + 1
    return replace(
        status,
        state=next((state for kind, state in _STATES if isinstance(error, kind)), AccountState.BACKING_OFF),
        failures=failures,
        last_poll=now,
        last_error=dump(error),
        last_error_code=error.code,
        last_error_at=now,
        next_try=now + pause(error, failures, settings) if backs_off(error) else None,
    )


def waits(status: AccountStatus, now: datetime, settings: PollSettings) -> bool:
    """Whether the server is to be left alone for now.

    A next try further ahead than the longest back-off, or an error of the future, was written by a clock that was
    ahead: it holds nobody up.
    """
    if status.next_try is None or status.next_try <= now:
        return False
    longest = max(timedelta(seconds=settings.backoff_max), DENIED_MOST, RETRY_AFTER_MOST)
    written_ahead = status.last_error_at is not None and status.last_error_at > now + CLOCK_MARGIN
    return not written_ahead and status.next_try <= now + longest + CLOCK_MARGIN


def backs_off(error: MailboxError) -> bool:
    """A trouble of one folder, a full mailbox or a full connection budget does not keep the rest from being polled."""
    if isinstance(error, MailboxServerError):
        return error.folder is None
    return not isinstance(error, _OF_A_FOLDER | MailboxBudgetError)


def ends_session(error: MailboxError) -> bool:
    """Whether nothing more can be asked in this session, and another one may go better."""
    return isinstance(error, MailboxDownError | MailboxProtocolError | SessionLostError)


def pause(error: MailboxError, failures: int, settings: PollSettings) -> timedelta:
    """How long to leave the server alone. Jitter (half to whole) keeps accounts from coming back in step."""
    asked = error.retry_after
    if asked is not None and asked >= 0:  # false for NaN, too
        return timedelta(seconds=min(asked, RETRY_AFTER_MOST.total_seconds()))
    base, most = timedelta(seconds=settings.backoff_base), timedelta(seconds=settings.backoff_max)
    if isinstance(error, MailboxDeniedError):
        base, most = DENIED_FIRST, DENIED_MOST
    if isinstance(error, SessionLostError):
        failures = 1  # the next poll knows the place, and gets on: there is nothing to spare the server
    doubled: timedelta = min(base * 2 ** min(failures - 1, 20), most)
    return doubled * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
