"""A7: mailboxes that hang, backfills and a slow receiver delay nobody else. `tests.bench.fairness` is the big one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.fairness import SMALL, hang, measure
from tests.servers.hostile_imap import HostileImap
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.waiting import eventually

BACKFILLS = 6
OTHERS = 8


def test_hanging_mailboxes_and_backfills_delay_nobody_else(tmp_path: Path) -> None:
    """The p95 of a poll's lag is at most 1.5 intervals, the worst 3; and the backfills get on."""
    report = measure(SMALL, tmp_path)

    assert report.polled == SMALL.mailboxes - SMALL.hanging - SMALL.backfills
    assert report.p95 <= 1.5 * SMALL.interval, str(report)
    assert report.worst <= 3 * SMALL.interval, str(report)
    assert report.backfilled > 0


def test_six_backfills_leave_three_of_four_threads_to_the_others_polls(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Each backfill stays in its thread for minutes: a server that hangs in the middle of a mail."""
    poll = {"interval": 2, "budget": 240, "timeout": 240}
    settings: dict[str, Any] = {"poll": poll, "worker": {"poll": {"concurrency": 4}}}
    old = dict.fromkeys(range(1, 10), b"Subject: old\r\n\r\nHello.\r\n")
    with (
        HostileImap() as well,
        HostileImap(old, BODY=hang) as full,
        Stack(tmp_path, redis_url=redis_server.url, **settings) as stack,
    ):
        for number in range(BACKFILLS):
            stack.add_account(f"full-{number}", port=full.port, user=f"full-{number}", password="hunter2")
        for number in range(OTHERS):
            stack.add_account(f"well-{number}", port=well.port, user=f"well-{number}", password="hunter2")
        stack.start("beat", "poll", "mail")
        assert eventually(lambda: full.verbs().count("STATUS") >= BACKFILLS and _fetches(full)), stack.log("poll")
        before = well.verbs().count("STATUS")

        assert eventually(lambda: well.verbs().count("STATUS") >= before + 5 * OTHERS, within=20), stack.log("poll")

        assert _fetches(full) == 1
        stack.kill("poll")


def _fetches(server: HostileImap) -> int:
    return sum(b"BODY" in words for words in server.commands)
