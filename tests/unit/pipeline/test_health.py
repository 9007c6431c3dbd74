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
)
from concord.model.account import AccountState, AccountStatus
from concord.pipeline import health
from concord.settings import PollSettings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = PollSettings(backoff_base=30, backoff_max=3600)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MailboxDeniedError("no"), AccountState.AUTH_FAILED),
        (MailboxTlsError("no"), AccountState.TLS),
        (MailboxDnsError("no"), AccountState.DNS),
        (MailboxDownError("no"), AccountState.UNREACHABLE),
        (MailboxThrottledError("no"), AccountState.THROTTLED),
        (MailboxFolderError("no"), AccountState.FOLDER_MISSING),
        (MailboxQuotaError("no"), AccountState.QUOTA),
        (MailboxProtocolError("no"), AccountState.BACKING_OFF),
    ],
)
def test_each_trouble_has_its_state(error: MailboxError, state: AccountState) -> None:
    status = health.failed(AccountStatus(), error, NOW, SETTINGS)

    assert status.state is state
    assert status.failures == 1
    assert status.last_error_code == error.code


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [health.pause(MailboxDownError("no"), failures, SETTINGS) for failures in range(1, 40)]

    for failures, pause in enumerate(pauses, start=1):
        whole = min(30 * 2 ** (failures - 1), 3600)
        assert timedelta(seconds=whole / 2) <= pause <= timedelta(seconds=whole)


def test_refused_login_waits_long_from_the_first() -> None:
    """Nobody is locked out: providers count refused logins within minutes."""
    status = health.failed(AccountStatus(), MailboxDeniedError("no"), NOW, SETTINGS)

    assert status.next_try is not None
    assert status.next_try - NOW >= health.DENIED_FIRST / 2


def test_server_that_names_its_wait_gets_it() -> None:
    error = MailboxThrottledError("Come back later", retry_after=1234.0)

    assert health.pause(error, 1, SETTINGS) == timedelta(seconds=1234)


@pytest.mark.parametrize("error", [MailboxFolderError("no"), MailboxQuotaError("no"), MailboxBudgetError("no")])
def test_partial_troubles_do_not_slow_the_account(error: MailboxError) -> None:
    status = health.failed(AccountStatus(), error, NOW, SETTINGS)

    assert status.next_try is None


def test_one_success_closes_the_circuit() -> None:
    failing = health.failed(AccountStatus(failures=7), MailboxDownError("no"), NOW, SETTINGS)

    status = health.succeeded(failing, NOW)

    assert (status.state, status.failures, status.next_try) == (AccountState.OK, 0, None)
    assert status.last_error_code == "mailbox_down"
