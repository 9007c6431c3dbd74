"""An account's state follows its polls: typed, slower each time, closed again by one success (A5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from concord.errors import (
    MailboxBudgetError,
    MailboxDeniedError,
    MailboxDnsError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxProtocolError,
    MailboxQuotaError,
    MailboxThrottledError,
    MailboxTlsError,
    PollFaultError,
    SessionLostError,
)
from concord.model.account import AccountState, AccountStatus
from concord.pipeline import health
from concord.settings import PollSettings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = PollSettings(backoff_base=30, backoff_max=3600)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MailboxDeniedError("login"), AccountState.AUTH_FAILED),
        (MailboxTlsError("handshake"), AccountState.TLS),
        (MailboxDnsError(), AccountState.DNS),
        (MailboxDownError("timeout"), AccountState.UNREACHABLE),
        (MailboxThrottledError(), AccountState.THROTTLED),
        (MailboxFolderError("unusable"), AccountState.FOLDER_MISSING),
        (MailboxQuotaError(), AccountState.QUOTA),
        (MailboxProtocolError("no_imap"), AccountState.BACKING_OFF),
        (SessionLostError(), AccountState.BACKING_OFF),
        (PollFaultError(), AccountState.INTERNAL_ERROR),
    ],
)
def test_each_trouble_has_its_state(error: MailboxError, state: AccountState) -> None:
    status = health.failed(AccountStatus(), error, NOW, SETTINGS)

    assert status.state is state
    assert status.failures == 1
    assert status.last_error_code == error.code


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [health.pause(MailboxDownError("timeout"), failures, SETTINGS) for failures in range(1, 40)]

    for failures, pause in enumerate(pauses, start=1):
        whole = min(30 * 2 ** (failures - 1), 3600)
        assert timedelta(seconds=whole / 2) <= pause <= timedelta(seconds=whole)


def test_refused_login_waits_long_from_the_first() -> None:
    """Nobody is locked out: providers count refused logins within minutes."""
    status = health.failed(AccountStatus(), MailboxDeniedError("login"), NOW, SETTINGS)

    assert status.next_try is not None
    assert status.next_try - NOW >= health.DENIED_FIRST / 2


def test_server_that_names_its_wait_gets_it() -> None:
    error = MailboxThrottledError(retry_after=1234.0)

    assert health.pause(error, 1, SETTINGS) == timedelta(seconds=1234)


@pytest.mark.parametrize("error", [MailboxFolderError("unusable"), MailboxQuotaError(), MailboxBudgetError()])
def test_partial_troubles_do_not_slow_the_account(error: MailboxError) -> None:
    status = health.failed(AccountStatus(), error, NOW, SETTINGS)

    assert status.next_try is None


def test_one_success_closes_the_circuit() -> None:
    failing = health.failed(AccountStatus(failures=7), MailboxDownError("timeout"), NOW, SETTINGS)

    status = health.succeeded(failing, NOW)

    assert (status.state, status.failures, status.next_try) == (AccountState.OK, 0, None)
    assert status.last_error_code == "mailbox_down"


@pytest.mark.parametrize("asked", [1e12, 10**400, float("inf"), 86_400.0 * 3650])
def test_a_server_cannot_ask_for_years(asked: float) -> None:
    """A5: such a wait raised OverflowError at every poll, or put the next try into another decade."""
    error = MailboxThrottledError(retry_after=asked)

    assert health.pause(error, 1, SETTINGS) == health.RETRY_AFTER_MOST


@pytest.mark.parametrize("asked", [float("nan"), -1.0, float("-inf")])
def test_a_wait_that_is_none_is_passed_over(asked: float) -> None:
    error = MailboxThrottledError(retry_after=asked)

    assert timedelta(seconds=1) < health.pause(error, 1, SETTINGS) <= timedelta(seconds=30)


def test_any_number_of_failures_can_be_waited_for() -> None:
    assert health.pause(MailboxDownError("timeout"), 10**9, SETTINGS) <= timedelta(hours=1)


def test_a_next_try_beyond_the_longest_back_off_is_due() -> None:
    """A clock that was ahead wrote it."""
    longest = AccountStatus(next_try=NOW + timedelta(hours=6))
    ahead = AccountStatus(next_try=NOW + timedelta(days=1))

    assert health.waits(longest, NOW, SETTINGS)
    assert not health.waits(ahead, NOW, SETTINGS)
    assert not health.waits(AccountStatus(next_try=NOW), NOW, SETTINGS)
