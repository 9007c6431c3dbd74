"""How late polls are while some mailboxes hang, one has a backfill and a receiver is slow (A7). Real daemons.

`python -m tests.bench.fairness` takes about six minutes; the suite runs a small one.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import select

from concord.adapters.sql.engine import reading
from concord.adapters.sql.tables import account_states
from concord.model.account import Tls
from concord.model.rule import HandlerSpec
from tests.servers.hostile_imap import HostileImap, Talk
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack

SLOW_SECONDS = 2.0
DAEMONS = ("beat", "poll", "mail", "deliver")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many of what."""

    mailboxes: int
    hanging: int
    backfill: int  # mails that one mailbox had before
    interval: int  # seconds
    seconds: int  # measured, after a warm-up of two intervals
    threads: int = 32


FULL = Size(mailboxes=300, hanging=30, backfill=20_000, interval=30, seconds=300)
SMALL = Size(mailboxes=24, hanging=4, backfill=1_500, interval=4, seconds=32, threads=8)


@dataclass(kw_only=True)
class Report:
    """How late the polls of mailboxes that work were, in seconds; and what the others got."""

    size: Size
    lags: list[float] = field(default_factory=list)
    polled: int = 0  # mailboxes that were polled at all
    backfilled: int = 0

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.lags, n=20)[-1]

    @property
    def worst(self) -> float:
        return max(self.lags)

    def __str__(self) -> str:
        interval = self.size.interval
        return (
            f"{self.size.mailboxes} mailboxes every {interval} s, {self.size.hanging} hanging, "
            f"a backfill of {self.size.backfill:,}: {len(self.lags):,} polls, "
            f"p95 {self.p95:.1f} s late ({self.p95 / interval:.2f} intervals), "
            f"worst {self.worst:.1f} s ({self.worst / interval:.2f}), {self.backfilled:,} old mails fetched"
        )


def measure(size: Size, folder: Path) -> Report:
    """Run it and look at when each poll begins."""
    with ExitStack() as world:
        redis = world.enter_context(RedisServer())
        well = world.enter_context(HostileImap())
        hanging = world.enter_context(HostileImap(STATUS=_hang, EXAMINE=_hang))
        old = {uid: b"Subject: old %d\r\n\r\nHello.\r\n" % uid for uid in range(1, size.backfill + 1)}
        full = world.enter_context(HostileImap(old, STATUS=_tell_full, EXAMINE=_open_full))
        receiver = world.enter_context(_slow_receiver())
        settings: dict[str, Any] = {
            "poll": {"interval": size.interval, "budget": size.interval, "timeout": max(2, size.interval // 2)},
            "worker": {"poll": {"concurrency": size.threads}, "mail": {"concurrency": 1}},
            "webhook": {"allow_networks": ["127.0.0.0/8"]},
            "dispatch": {"default_handlers": ["slow"]},
        }
        stack = world.enter_context(Stack(folder, redis_url=redis.url, **settings))
        stack.concord.rulebook.save_handler(HandlerSpec(name="slow", kind="webhook", options={"url": receiver}))
        fair = [_add(stack, f"well-{number}", well) for number in range(size.mailboxes - size.hanging - 1)]
        for number in range(size.hanging):
            _add(stack, f"hanging-{number}", hanging)
        _add(stack, "full", full)
        stack.start(*DAEMONS)
        report = Report(size=size)
        _watch(stack, fair, report)
        report.backfilled = sum(stack.concord.ledger.counts()["full"].values())
        for name in DAEMONS:
            stack.kill(name)  # a warm shutdown would wait for the slow receiver
        return report


def _watch(stack: Stack, fair: list[int], report: Report) -> None:
    """Compare each poll's beginning with the one before it, once all have been polled twice."""
    size = report.size
    began: dict[int, list[float]] = {account: [] for account in fair}
    end = time.monotonic() + 2 * size.interval + 20 + size.seconds
    while time.monotonic() < end:
        wanted = select(account_states.c.account_id, account_states.c.begun_at)
        with reading(stack.concord.engine) as connection:
            for account, begun_at in connection.execute(wanted):
                seen = began.get(account)
                if seen is not None and begun_at and (not seen or seen[-1] != begun_at.timestamp()):
                    seen.append(begun_at.timestamp())
        time.sleep(0.25)
    now = time.time()
    for points in began.values():
        report.polled += bool(points)
        # The first poll lies anywhere in the interval; a poll that never came is late until now.
        gaps = [later - earlier for earlier, later in zip(points[1:], [*points[2:], now], strict=True)][:-1]
        gaps += [now - points[-1]] if points and now - points[-1] > size.interval else []
        report.lags += [max(gap - size.interval, 0.0) for gap in gaps]


def _add(stack: Stack, name: str, server: HostileImap) -> int:
    return stack.add_account(name, port=server.port, user=name, password="hunter2", tls=Tls.NONE).id


async def _hang(talk: Talk) -> None:
    await talk.hang()


def _tell_full(talk: Talk) -> None:
    count = len(talk.server.mails)
    talk.say(b'* STATUS "INBOX" (MESSAGES %d UIDNEXT %d UIDVALIDITY 7)' % (count, count + 1))
    talk.done()


def _open_full(talk: Talk) -> None:
    count = len(talk.server.mails)
    talk.say(b"* %d EXISTS" % count, b"* OK [UIDVALIDITY 7] yes", b"* OK [UIDNEXT %d] soon" % (count + 1))
    talk.done(b"OK [READ-ONLY] done")


class _Slow(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(SLOW_SECONDS)
        with contextlib.suppress(OSError):
            self.send_response(204)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def _slow_receiver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join(30)
    server.server_close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="concord-fairness-") as place:
        print(measure(FULL, Path(place)))  # noqa: T201 - a bench says what it found
