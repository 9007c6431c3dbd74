"""Health says so where every part answers and no mail flows (issue 10, finding 8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from concord.model.account import AccountState, AccountStatus
from concord.model.worker import WorkerLimits
from concord.ports import WorkerPulse
from concord.web import flow
from concord.web.check import Check
from concord.web.health import looked
from tests.sql_world import account

NOW = datetime(2026, 12, 1, 4, 0, tzinfo=UTC)
PATIENCE = timedelta(seconds=60)
INTERVAL = 60
LEASE = "concord:beat::lock"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def sent(tick: float | None, send: float | None) -> Check:
    moments = [None if seconds is None else ago(seconds) for seconds in (tick, send)]
    return looked(lambda: flow.sent(*moments, now=NOW, patience=PATIENCE, lease=LEASE))


def pulse(node: str, *, at: float = 3, consumed: float | None = 5, started: float = 3600) -> WorkerPulse:
    return WorkerPulse(
        instance=node.partition("@")[0],
        node=node,
        at=ago(at),
        started_at=ago(started),
        tasks=1,
        memory=1,
        consumed_at=None if consumed is None else ago(consumed),
        limits=WorkerLimits(),
    )


def taken(*pulses: WorkerPulse) -> Check:
    return looked(lambda: flow.taken(pulses, now=NOW, patience=PATIENCE))


def ended(*statuses: AccountStatus, interval: int | None = None, added: float = 86_400) -> Check:
    accounts = [
        account(name=f"box{number}", id=number, interval=interval, start_at=ago(added))
        for number in range(len(statuses))
    ]
    return looked(lambda: flow.ended(accounts, dict(enumerate(statuses)), now=NOW, default_interval=INTERVAL))


# Beat.


def test_beat_that_looks_and_sends_is_well() -> None:
    assert sent(tick=2, send=3).ok


@pytest.mark.parametrize("tick", [61, 86_400, None])
def test_beat_that_does_not_look_at_the_schedule_is_not(tick: float | None) -> None:
    """Its lease held by a key that nobody renews, or its process gone."""
    check = sent(tick=tick, send=tick)

    assert not check.ok
    assert "Beat" in check.detail
    assert LEASE in check.cause
    assert "lease" in check.remedy


def test_beat_that_looks_and_cannot_send_is_not() -> None:
    """A queue of another type, a Redis that refuses writes."""
    check = sent(tick=1, send=61)

    assert not check.ok
    assert "send" in check.detail
    assert check.cause == "last 61 s ago"
    assert check.remedy


def test_beat_of_an_older_version_that_says_nothing_of_sends_is_well() -> None:
    assert sent(tick=1, send=None).ok


# Workers.


def test_workers_whose_canaries_come_back_are_well() -> None:
    assert taken(pulse("poll@a"), pulse("mail@b")).ok


def test_worker_that_started_just_now_is_well() -> None:
    assert taken(pulse("poll@a", consumed=None, started=10)).ok


def test_worker_whose_canary_does_not_come_back_is_named() -> None:
    check = taken(pulse("poll@a", consumed=61), pulse("mail@b"), pulse("deliver@b", consumed=None))

    assert not check.ok
    assert check.cause == "poll@a: last 61 s ago, deliver@b: never"
    assert check.remedy


@pytest.mark.parametrize("pulses", [(), (pulse("poll@a", at=60),)])
def test_no_worker_at_all_is_told(pulses: tuple[WorkerPulse, ...]) -> None:
    check = taken(*pulses)

    assert not check.ok
    assert check.remedy


def test_worker_that_ended_is_no_deaf_one() -> None:
    """The pulse of a host that was taken away stays for two minutes."""
    assert taken(pulse("poll@a"), pulse("poll@gone", at=70, consumed=75)).ok


# Polls.


def test_polls_that_end_are_well_however_they_ended() -> None:
    assert ended(AccountStatus(last_poll=ago(70)), AccountStatus(state=AccountState.DNS, last_poll=ago(20))).ok


def test_no_poll_of_any_mailbox_for_several_intervals_is_silence() -> None:
    check = ended(AccountStatus(last_poll=ago(301)), AccountStatus(last_poll=ago(900)))

    assert not check.ok
    assert check.cause == "2 mailboxes wait; last 301 s ago"
    assert check.remedy


def test_one_mailbox_that_is_polled_is_no_silence() -> None:
    """The others are late, which the overview tells."""
    assert ended(AccountStatus(last_poll=ago(900)), AccountStatus(last_poll=ago(10))).ok


def test_mailboxes_that_wait_by_their_own_back_off_do_not_count() -> None:
    waits = AccountStatus(state=AccountState.BACKING_OFF, last_poll=ago(900), next_try=NOW + timedelta(seconds=60))

    assert ended(waits).ok
    assert not ended(waits, AccountStatus(last_poll=ago(900))).ok


def test_long_intervals_are_waited_for() -> None:
    assert ended(AccountStatus(last_poll=ago(9_000)), interval=3_600).ok
    assert not ended(AccountStatus(last_poll=ago(11_000)), interval=3_600).ok


def test_mailbox_that_was_never_polled_counts_from_when_it_was_added() -> None:
    assert ended(AccountStatus(), added=20).ok
    assert not ended(AccountStatus(), added=301).ok


def test_no_mailbox_is_no_silence() -> None:
    assert ended().ok
