"""What a hundred guessers do to the people who sign in, on the real admin service (issue 10, finding 4).

`python -m tests.bench.signin [--rounds N] [--seconds N] [--each N]`. Fifty guessers share one IPv6 /64 and fifty come
from networks of their own; all guess one person's password over kept connections, `--each` times a second. Meanwhile
that person signs in with a known browser, and from new places, and somebody else reads pages. Guessers, people and
service share this machine, so a page's time is also told as a multiple of its time without guessers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from concord import log
from concord.model.user import Role
from concord.services.identity import MOST_GUESSES_AN_HOUR, Identity
from tests.bench.pages import p95
from tests.bench.processes import answers
from tests.bench.table import say
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.waiting import eventually
from tests.web_world import PASSWORD, SHELL

ROUNDS: Final = 3
SECONDS: Final = 40
EACH: Final = 1.0
SITE: Final = [f"2001:db8:6666:1::{number:x}" for number in range(1, 51)]
MANY: Final = [f"203.0.113.{number}" for number in range(1, 51)]
HOME: Final = "198.51.100.7"
VICTIM, READER = "bench", "reader"
PAGES: Final = ("/admin/profile", "/admin/messages", "/admin/settings")
BESIDE: Final = 60  # requests for the baseline
# What the issue asks for.
KNOWN_SECONDS, NEW_SECONDS, PAGE_MS = 2.0, 30.0, 200.0
_KNOWN_EVERY, _NEW_EVERY, _PAGE_EVERY = 3.0, 5.0, 0.1
_CSRF: Final = re.compile(r'name="csrf" value="([\w-]+)"')


@dataclass(slots=True, kw_only=True)
class Taken:
    """What one round saw."""

    known: list[float] = field(default_factory=list)  # seconds until signed in
    new: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)  # milliseconds
    beside: list[float] = field(default_factory=list)  # the same pages without guessers
    guesses: Counter[str] = field(default_factory=Counter)  # the answers that guessers got, by status


def measure(rounds: int = ROUNDS, *, seconds: float = SECONDS, each: float = EACH) -> None:
    """Measure, and print a table of the rounds' medians."""
    taken = [one_round(seconds, each) for _ in range(rounds)]
    say(f"{len(SITE)} guessers from one /64, {len(MANY)} from many networks, {each:g} guesses a second each")
    _line("sign-in with a known browser, slowest", [max(one.known) for one in taken], KNOWN_SECONDS, "s")
    _line("sign-in from a new place, slowest", [max(one.new) for one in taken], NEW_SECONDS, "s")
    _line("pages, p95", [p95(one.pages) for one in taken], PAGE_MS, "ms")
    _line("pages, median", [statistics.median(one.pages) for one in taken], PAGE_MS, "ms")
    ratio = statistics.median(statistics.median(one.pages) / statistics.median(one.beside) for one in taken)
    say(f"{'pages, median × without guessers':40}{ratio:10.1f}")
    _line("guesses that were looked at", [_looked_at(one) for one in taken], MOST_GUESSES_AN_HOUR, "an hour")
    asked = statistics.median(one.guesses.total() / seconds for one in taken)
    busy = statistics.median(one.guesses["503"] for one in taken)
    say(f"The service answered {asked:.0f} guesses a second; {busy:.0f} in a round with 503.")


def one_round(seconds: float, each: float) -> Taken:
    """A service of its own, whose throttle has seen nobody yet: the guessers have all their free attempts."""
    taken = Taken()
    with site() as base:
        known = _browser(base, HOME)
        assert _signs_in(known, VICTIM)
        reader = _browser(base, "192.0.2.250")
        assert _signs_in(reader, READER)
        for number in range(BESIDE):
            taken.beside.append(_page(reader, number))
        with guessers(base, seconds, each) as crowd:
            asyncio.run(_meanwhile(base, known, reader, seconds, taken))
            out, _ = crowd.communicate(timeout=seconds + 60)
        taken.guesses.update(json.loads(out))
        known.close()
        reader.close()
    return taken


async def _meanwhile(base: str, known: httpx.Client, reader: httpx.Client, seconds: float, taken: Taken) -> None:
    ends = time.monotonic() + seconds
    newcomers = iter(range(1, 250))

    async def again(every: float, one: object) -> None:
        while time.monotonic() < ends:
            await asyncio.to_thread(one)  # type: ignore[arg-type]  # one of the three below
            await asyncio.sleep(every)

    def known_signs_in() -> None:
        taken.known.append(_until_in(known, KNOWN_SECONDS * 5))

    def newcomer_signs_in() -> None:
        with _browser(base, f"192.0.2.{next(newcomers)}") as one:
            taken.new.append(_until_in(one, NEW_SECONDS * 2))

    def page() -> None:
        taken.pages.append(_page(reader, len(taken.pages)))

    await asyncio.gather(
        again(_KNOWN_EVERY, known_signs_in), again(_NEW_EVERY, newcomer_signs_in), again(_PAGE_EVERY, page)
    )


def _until_in(client: httpx.Client, at_most: float) -> float:
    """As a patient person does: again, when the page says so."""
    began = time.monotonic()
    while not _signs_in(client, VICTIM):
        time.sleep(1)
        assert time.monotonic() - began < at_most, "nobody gets in"
    return time.monotonic() - began


def _signs_in(client: httpx.Client, name: str, password: str = PASSWORD) -> bool:
    proof = _CSRF.search(client.get("/admin/login").text)
    assert proof
    fields = {"csrf": proof[1], "name": name, "password": password, "next": "/admin/profile"}
    return client.post("/admin/login", data=fields).is_redirect


def _page(reader: httpx.Client, number: int) -> float:
    began = time.perf_counter()
    answer = reader.get(PAGES[number % len(PAGES)])
    assert answer.status_code == httpx.codes.OK, answer.text
    return 1000 * (time.perf_counter() - began)


def _looked_at(taken: Taken) -> float:
    return taken.guesses["401"] + taken.guesses["403"]


def _browser(base: str, address: str) -> httpx.Client:
    return httpx.Client(base_url=base, headers=_from(address), timeout=60)


def _from(address: str) -> dict[str, str]:
    return {"Accept": "text/html", "X-Forwarded-For": address, "X-Forwarded-Proto": "http"}


def _line(what: str, figures: list[float], limit: float, unit: str) -> None:
    half = statistics.median(figures)
    verdict = "" if half <= limit else "  over"
    say(f"{what:40}{half:10.2f}  of at most {limit:g} {unit}{verdict}")


@contextmanager
def site() -> Iterator[str]:
    """Where an admin service is, a process of its own as in production, behind a proxy that this module plays."""
    with ExitStack() as servers:
        redis = servers.enter_context(RedisServer())
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        stack = Stack(folder, redis_url=redis.url, admin={"port": port, "proxies": ["127.0.0.1/32"]})
        servers.enter_context(stack)
        identity = Identity(stack.concord)
        for name in (VICTIM, READER):
            identity.add_user(name, Role.ADMIN, PASSWORD, by=SHELL)
        stack.start("admin")
        base = f"http://localhost:{port}"
        assert eventually(lambda: answers(f"{base}/admin/login"), within=60)
        yield base


@contextmanager
def guessers(base: str, seconds: float, each: float) -> Iterator[subprocess.Popen[str]]:
    """All of them, in a process of their own; it ends by itself and prints the answers' statuses."""
    command = [sys.executable, "-m", "tests.bench.signin", "--guess", base]
    command += ["--seconds", str(seconds), "--each", str(each)]
    crowd = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield crowd
    finally:
        crowd.kill()
        crowd.wait(timeout=30)


async def guess(base: str, seconds: float, each: float) -> Counter[str]:
    """The guessers' side."""
    met: Counter[str] = Counter()
    ends = time.monotonic() + seconds

    async def one(address: str, delay: float) -> None:
        async with httpx.AsyncClient(base_url=base, headers=_from(address), timeout=60) as client:
            await asyncio.sleep(delay)
            proof = _CSRF.search((await client.get("/admin/login")).text)
            assert proof
            number = 0
            while time.monotonic() < ends:
                began, number = time.monotonic(), number + 1
                fields = {"csrf": proof[1], "name": VICTIM, "password": f"guess {number}", "next": "/admin"}
                met[str((await client.post("/admin/login", data=fields)).status_code)] += 1
                await asyncio.sleep(max(0.0, began + 1 / each - time.monotonic()))

    crowd = SITE + MANY
    await asyncio.gather(*(one(address, number / len(crowd) / each) for number, address in enumerate(crowd)))
    return met


def main() -> None:
    """As it is asked for at the command line."""
    log.configure("pretty", "warning")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.signin", description="Signing in amid guessers.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"({ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of one round ({SECONDS})")
    parser.add_argument("--each", type=float, default=EACH, help=f"guesses a second of each guesser ({EACH:g})")
    parser.add_argument("--guess", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.guess:
        sys.stdout.write(json.dumps(asyncio.run(guess(given.guess, given.seconds, given.each))))
    else:
        measure(given.rounds, seconds=given.seconds, each=given.each)


if __name__ == "__main__":
    main()
