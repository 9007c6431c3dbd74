"""Whose attempts an address's count for, and how long limits keep an attempt waiting (issue 10, finding 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from concord.model.throttle import Budget, Pauses, network_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:0:0:0:9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_all_addresses_of_one_line_count_together(address: str, network: str) -> None:
    assert network_of(address) == network


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    limit = Pauses("x", 5)

    until = [limit.until(attempts, None, NOW) for attempts in (4, 5, 6, 7, 40)]

    assert until == [None, NOW + 2 * SECOND, NOW + 4 * SECOND, NOW + 8 * SECOND, NOW + timedelta(minutes=15)]
    assert limit.wait(NOW + SECOND, NOW) == SECOND
    assert limit.wait(NOW - SECOND, NOW) == limit.wait(None, NOW) == timedelta()


def test_budget_takes_its_burst_at_once_and_then_one_every_so_often() -> None:
    limit, until = Budget("x", 3, 10 * SECOND), None
    waits = []
    for moment in (0, 0, 0, 0, 9, 10, 10, 3600, 3600, 3600, 3600):
        now = NOW + moment * SECOND
        waits.append(limit.wait(until, now))
        if not waits[-1]:
            until = limit.until(0, until, now)

    assert [wait / SECOND for wait in waits] == [0, 0, 0, 10, 1, 0, 10, 0, 0, 0, 10]
