"""How late polls are while some mailboxes hang, some have a backfill and a receiver is slow (A7). Real daemons.

`python -m tests.bench.fairness` has all of it at once, for six minutes; the suite runs a small one.
`python -m tests.bench.fairness costs` says what each costs the others, for ten minutes.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import func, select

from concord.adapters.sql.engine import reading
from concord.adapters.sql.outbox_tables import deliveries
from concord.adapters.sql.tables import account_states
from concord.model.account import Tls
from concord.model.delivery import DeliveryState
from concord.model.rule import HandlerSpec
from tests.bench.table import say
from tests.servers.hostile_imap import HostileImap, Talk
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.waiting import eventually

SLOW_SECONDS: Final = 2.0
DAEMONS: Final = ("beat", "poll", "mail", "deliver")
# Until the daemons have started.
START_SECONDS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many of what."""

    mailboxes: int  # all of them
    hanging: int
    backfills: int = 1
    backfill: int  # mails that each of those had before
    busy: int = 0  # mails for the slow receiver
    interval: int  # seconds
    seconds: int  # measured, after a warm-up of two intervals
    threads: int = 32


FULL: Final = Size(mailboxes=300, hanging=30, backfill=20_000, interval=30, seconds=300)
# More backfills than threads: without a cap they would have all of them.
SMALL: Final = Size(mailboxes=24, hanging=2, backfills=6, backfill=1_500, interval=4, seconds=32, threads=4)
COSTS: Final = Size(
    mailboxes=60, hanging=10, backfills=6, backfill=20_000, busy=300, interval=5, seconds=40, threads=16
)
ROUNDS: Final = 3


class Trouble(StrEnum):
    """What may slow the others down."""

    BACKFILL = "backfills"
    TARPIT = "tarpits"
    RECEIVER = "a busy receiver"


@dataclass(kw_only=True)
class Report:
    """How late the polls of mailboxes that work were, in seconds; and what the others got."""

    size: Size
    lags: list[float] = field(default_factory=list)
    polled: int = 0  # mailboxes that were polled at all
    backfilled: int = 0

    @property
    def p95(self) -> float:
        return _p95(self.lags)

    @property
    def worst(self) -> float:
        return max(self.lags)

    def __str__(self) -> str:
        size = self.size
        return (
            f"{size.mailboxes} mailboxes every {size.interval} s, {size.hanging} hanging, "
            f"{size.backfills} with a backfill of {size.backfill:,}: {len(self.lags):,} polls, "
            f"p95 {self.p95:.1f} s late ({self.p95 / size.interval:.2f} intervals), "
            f"worst {self.worst:.1f} s ({self.worst / size.interval:.2f}), {self.backfilled:,} old mails fetched"
        )


def measure(size: Size, folder: Path) -> Report:
    """All troubles at once, from the start."""
    with Crowd(size, folder) as crowd:
        for trouble in Trouble:
            crowd.set(trouble, on=True)
        crowd.start()
        time.sleep(2 * size.interval + START_SECONDS)
        since = time.time()
        time.sleep(size.seconds)
        gaps = crowd.gaps(since)
        return Report(
            size=size,
            lags=[max(gap - size.interval, 0.0) for gap in gaps],
            polled=crowd.polled(),
            backfilled=crowd.backfilled(),
        )


def costs(size: Size, folder: Path) -> dict[Trouble, list[float]]:
    """What each trouble makes of the others' p95 from one poll to the next: a factor, for each round."""
    found: dict[Trouble, list[float]] = {trouble: [] for trouble in Trouble}
    with Crowd(size, folder) as crowd:
        crowd.start()
        time.sleep(2 * size.interval + START_SECONDS)
        for number in range(ROUNDS):
            calm = _window(crowd)
            say(f"  round {number + 1}: calm, p95 from one poll to the next {calm:.2f} s")
            for trouble in Trouble:
                crowd.set(trouble, on=True)
                p95 = _window(crowd)
                crowd.set(trouble, on=False)
                crowd.settle()
                found[trouble].append(p95 / calm)
                say(f"  round {number + 1}: {trouble.value}, p95 {p95:.2f} s, {p95 / calm:.3f} of calm")
        say(f"  old mails fetched: {crowd.backfilled():,}; deliveries: {crowd.delivered():,}")
    return found


def _window(crowd: Crowd) -> float:
    time.sleep(2 * crowd.size.interval)
    since = time.time()
    time.sleep(crowd.size.seconds)
    return _p95(crowd.gaps(since))


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


class Crowd:
    """Mailboxes that work, and others that make trouble when they are told to. A context manager."""

    def __init__(self, size: Size, folder: Path) -> None:
        self.size = size
        self._folder = folder
        self._began: dict[int, list[float]] = {}
        self._over = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._prepare(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._open.close()

    def _prepare(self, opening: ExitStack) -> None:
        size = self.size
        redis = opening.enter_context(RedisServer())
        well = opening.enter_context(HostileImap())
        hanging = opening.enter_context(HostileImap(STATUS=hang, EXAMINE=hang))
        old = {uid: b"Subject: old %d\r\n\r\nHello.\r\n" % uid for uid in range(1, size.backfill + 1)}
        full = opening.enter_context(HostileImap(old, STATUS=_tell_full, EXAMINE=_open_full))
        self._busy = opening.enter_context(HostileImap(STATUS=_tell_full, EXAMINE=_open_full))
        self._receiver = opening.enter_context(_receiving())
        settings: dict[str, Any] = {
            "poll": {"interval": size.interval, "budget": size.interval, "timeout": max(2, size.interval // 2)},
            "worker": {"poll": {"concurrency": size.threads}, "mail": {"concurrency": 1}},
            "webhook": {"allow_networks": ["127.0.0.0/8"]},
            "dispatch": {"default_handlers": ["receiver"]},
        }
        self.stack = opening.enter_context(Stack(self._folder, redis_url=redis.url, **settings))
        options = {"url": self._receiver.url}
        self.stack.concord.rulebook.save_handler(HandlerSpec(name="receiver", kind="webhook", options=options))
        others = size.hanging + size.backfills
        self._began = {self._add(f"well-{number}", well): [] for number in range(size.mailboxes - others)}
        self._add("busy", self._busy)
        self._troubled = {
            Trouble.TARPIT: [self._add(f"hanging-{n}", hanging, enabled=False) for n in range(size.hanging)],
            Trouble.BACKFILL: [self._add(f"full-{n}", full, enabled=False) for n in range(size.backfills)],
            Trouble.RECEIVER: [],
        }

    def _add(self, name: str, server: HostileImap, **changes: Any) -> int:
        account = self.stack.add_account(name, port=server.port, user=name, password="hunter2", tls=Tls.NONE, **changes)
        return account.id

    def start(self) -> None:
        """Start the daemons, and the look at when each poll begins."""
        self.stack.start(*DAEMONS)
        for name in DAEMONS:
            self._open.callback(self.stack.kill, name)  # a warm shutdown would wait for the slow receiver
        watch = threading.Thread(target=self._watch)
        watch.start()
        self._open.callback(watch.join)
        self._open.callback(self._over.set)

    def set(self, trouble: Trouble, *, on: bool) -> None:
        """Begin or end it."""
        accounts = self.stack.concord.accounts
        for account_id in self._troubled[trouble]:
            accounts.save(replace(accounts.get(account_id), enabled=on))
        if trouble is Trouble.RECEIVER:
            self._receiver.seconds = SLOW_SECONDS if on else 0
            if on:
                first = len(self._busy.mails) + 1
                new = range(first, first + self.size.busy)
                self._busy.mails |= {uid: b"Subject: busy %d\r\n\r\nHello.\r\n" % uid for uid in new}

    def settle(self) -> None:
        """Wait until every delivery is made."""
        made = DeliveryState.DELIVERED.value
        assert eventually(lambda: self._deliveries(deliveries.c.state != made) == 0, within=60)

    def delivered(self) -> int:
        return self._deliveries(deliveries.c.state == DeliveryState.DELIVERED.value)

    def backfilled(self) -> int:
        """How many old mails are fetched."""
        counts = self.stack.concord.ledger.counts()
        return sum(sum(counts.get(f"full-{number}", {}).values()) for number in range(self.size.backfills))

    def polled(self) -> int:
        """How many of the mailboxes that work were polled at all."""
        return sum(bool(points) for points in self._began.values())

    def gaps(self, since: float) -> list[float]:
        """Seconds from one poll to the next, of the mailboxes that work; a poll that is overdue is late until now."""
        now = time.time()
        found: list[float] = []
        for points in self._began.values():
            found += [later - earlier for earlier, later in pairwise(points) if later >= since]
            if points and now - points[-1] > self.size.interval:
                found.append(now - points[-1])
        return found

    def _watch(self) -> None:
        wanted = select(account_states.c.account_id, account_states.c.begun_at)
        while not self._over.wait(0.25):
            with reading(self.stack.concord.engine) as connection:
                for account, begun_at in connection.execute(wanted):
                    seen = self._began.get(account)
                    if seen is not None and begun_at and (not seen or seen[-1] != begun_at.timestamp()):
                        seen.append(begun_at.timestamp())

    def _deliveries(self, narrowed: Any) -> int:
        with reading(self.stack.concord.engine) as connection:
            wanted = select(func.count()).select_from(deliveries).where(narrowed)
            return int(connection.execute(wanted).scalar_one())


async def hang(talk: Talk) -> None:
    """Say nothing for ever."""
    await talk.hang()


def _tell_full(talk: Talk) -> None:
    count = len(talk.server.mails)
    talk.say(b'* STATUS "INBOX" (MESSAGES %d UIDNEXT %d UIDVALIDITY 7)' % (count, count + 1))
    talk.done()


def _open_full(talk: Talk) -> None:
    count = len(talk.server.mails)
    talk.say(b"* %d EXISTS" % count, b"* OK [UIDVALIDITY 7] yes", b"* OK [UIDNEXT %d] soon" % (count + 1))
    talk.done(b"OK [READ-ONLY] done")


class _Receiver(ThreadingHTTPServer):
    """Takes `seconds` for each answer."""

    seconds = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Slow)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Slow(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.seconds)
        with contextlib.suppress(OSError):
            self.send_response(204)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def _receiving() -> Iterator[_Receiver]:
    with _Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(30)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="concord-fairness-") as place:
        if sys.argv[1:] != ["costs"]:
            say(str(measure(FULL, Path(place))))
            return
        say(f"{COSTS.mailboxes} mailboxes every {COSTS.interval} s on {COSTS.threads} threads; {COSTS}")
        for trouble, factors in costs(COSTS, Path(place)).items():
            say(f"{trouble.value}: the others' p95 times {statistics.median(factors):.3f}, median of {ROUNDS} rounds")


if __name__ == "__main__":
    main()
