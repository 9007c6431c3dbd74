"""A7: mailboxes that hang, a backfill and a slow receiver delay nobody else. `tests.bench.fairness` is the big one."""

from __future__ import annotations

from pathlib import Path

from tests.bench.fairness import SMALL, measure


def test_hanging_mailboxes_and_a_backfill_delay_nobody_else(tmp_path: Path) -> None:
    """The p95 of a poll's lag is at most 1.5 intervals, the worst 3; and the backfill gets on."""
    report = measure(SMALL, tmp_path)

    assert report.polled == SMALL.mailboxes - SMALL.hanging - 1
    assert report.p95 <= 1.5 * SMALL.interval, str(report)
    assert report.worst <= 3 * SMALL.interval, str(report)
    assert report.backfilled > 0
