"""How long pages take with a million messages on PostgreSQL, beside a bare FastAPI application in the same run.

`python -m tests.bench.pages [COUNT] [--sqlite] [--rounds N]`. Requests go one after another over one kept connection
to the admin service, a process of its own; each is followed by one to the application beside it. Machines are noisy: a
page's CPU time, in the service and in the database, says more than its time by the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from concord import log
from concord.model.user import Role
from concord.services.identity import Identity
from tests.bench.million import fill, settle
from tests.bench.month import furnish
from tests.bench.places import OVERVIEW, places
from tests.bench.processes import Meter, browser, hello
from tests.bench.table import say
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.web_world import PASSWORD, SHELL

MILLION: Final = 1_000_000
ROUNDS: Final = 3
REQUESTS: Final = 25
# The overview looks at everything once in two seconds, for all who ask: here each request waits until that is old.
LOOKS: Final = 12
OLD_SECONDS: Final = 2.1
# What the issue asks for.
PAGE_MS: Final = 100.0
OVERVIEW_MS: Final = 200.0


@dataclass(slots=True)
class Taken:
    """What requests to one page took."""

    times: list[float] = field(default_factory=list)  # milliseconds of each
    beside: list[float] = field(default_factory=list)  # the baseline's, asked in between
    p95s: list[float] = field(default_factory=list)  # of each round
    service: float = 0.0  # seconds of CPU time in all
    database: float = 0.0
    octets: int = 0  # the biggest answer

    @property
    def p95(self) -> float:
        """The middle one of the rounds'."""
        return statistics.median(self.p95s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running admin service with a month's mail behind it, and the baseline beside it."""

    stack: Stack
    visitor: httpx.Client
    plain: httpx.Client
    service: Meter
    database: Meter | None  # SQLite's time is the service's own

    def one_round(self, taken: Taken, addresses: Sequence[str], *, is_overview: bool) -> None:
        """Some requests, after a few to warm up."""
        for address in addresses[:3]:
            self.visitor.get(address)
        before = self._spent()
        times = []
        for number in range(LOOKS if is_overview else REQUESTS):
            time.sleep(OLD_SECONDS if is_overview else 0)
            began = time.perf_counter()
            answer = self.visitor.get(addresses[number % len(addresses)])
            times.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == httpx.codes.OK, (answer.url, answer.status_code, answer.text)
            taken.octets = max(taken.octets, len(answer.content))
            taken.beside.append(self._beside())
        after = self._spent()
        taken.times += times
        taken.p95s.append(p95(times))
        taken.service += after[0] - before[0]
        taken.database += after[1] - before[1]

    def _beside(self) -> float:
        began = time.perf_counter()
        self.plain.get("/")
        return 1000 * (time.perf_counter() - began)

    def _spent(self) -> tuple[float, float]:
        return self.service.seconds(), self.database.seconds() if self.database else 0.0


def measure(count: int = MILLION, *, sqlite: bool = False, rounds: int = ROUNDS) -> None:
    """Measure, and print a table."""
    with site(count, sqlite=sqlite) as one:
        asked = places(one.stack.concord, one.visitor)
        taken = {name: Taken() for name in asked}
        for name in [*asked] * rounds:
            one.one_round(taken[name], asked[name], is_overview=name == OVERVIEW)
        report(taken)
        say(f"The service's process had {one.service.peak() / 1e6:.0f} MB of memory at most.")


@contextmanager
def site(count: int, *, sqlite: bool) -> Iterator[Site]:
    """All that a measurement needs."""
    with ExitStack() as servers:
        redis = servers.enter_context(RedisServer())
        postgres = None if sqlite else servers.enter_context(PostgresServer())
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory()))
        place, port = folder / "stack", free_port()
        place.mkdir()
        url = postgres.url(postgres.create()) if postgres else None
        stack = servers.enter_context(Stack(place, redis_url=redis.url, database_url=url, admin={"port": port}))
        began = time.monotonic()
        fill(stack.concord.engine, count)
        furnish(stack.concord)
        settle(stack.concord.engine)
        Identity(stack.concord).add_user("bench", Role.ADMIN, PASSWORD, by=SHELL)
        database = "PostgreSQL" if postgres else "SQLite"
        say(f"{count:,} messages on {database}, made in {time.monotonic() - began:.0f} s")
        stack.start("admin")
        yield Site(
            stack=stack,
            visitor=servers.enter_context(browser(port, "bench", PASSWORD)),
            plain=servers.enter_context(hello(folder, free_port())),
            service=Meter(stack.pid("admin")),
            database=Meter(postgres.pid) if postgres else None,
        )


def report(taken: dict[str, Taken]) -> None:
    """A line for the baseline, and one for each page."""
    beside = [time for one in taken.values() for time in one.beside]
    say(f"{'':46}  median ms  p95 ms  × hello  CPU ms: service  database     KB")
    say(f"{'a bare FastAPI hello':46}{statistics.median(beside):11.1f}{p95(beside):8.1f}{1:9.1f}")
    over = 0
    for name, one in taken.items():
        limit = OVERVIEW_MS if name == OVERVIEW else PAGE_MS
        over += one.p95 > limit
        half, ratio = statistics.median(one.times), statistics.median(one.times) / statistics.median(one.beside)
        cpu = f"{1000 * one.service / len(one.times):17.1f}{1000 * one.database / len(one.times):10.1f}"
        verdict = f"  over {limit:.0f} ms" if one.p95 > limit else ""
        say(f"{name[:45]:46}{half:11.1f}{one.p95:8.1f}{ratio:9.1f}{cpu}{one.octets / 1000:7.1f}{verdict}")
    say(f"{over} of {len(taken)} pages are over the limit of {PAGE_MS:.0f} ms, the overview's {OVERVIEW_MS:.0f} ms.")


def p95(times: Sequence[float]) -> float:
    """What 95 of 100 stay within."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main() -> None:
    """As it is asked for at the command line."""
    log.configure("pretty", "warning")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description="How long pages take.")
    parser.add_argument("count", type=int, nargs="?", default=MILLION, help="messages (a million)")
    parser.add_argument("--sqlite", action="store_true", help="on SQLite instead of PostgreSQL")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of {REQUESTS} requests to each page ({ROUNDS})")
    given = parser.parse_args()
    measure(given.count, sqlite=given.sqlite, rounds=given.rounds)


if __name__ == "__main__":
    main()
