"""How long pages take with a million messages on PostgreSQL, beside an empty FastAPI application in the same run.

`python -m tests.bench.pages [COUNT]`. Requests go one after another over one kept connection, to the admin service as
a real process; p95 of each round, median of the rounds.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from concord import log
from concord.model.user import Role
from concord.services.identity import Identity
from tests.bench.million import fill, settle
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.waiting import eventually
from tests.web_world import PASSWORD, SHELL

ROUNDS: Final = 3
REQUESTS: Final = 60
HELLO: Final = """\
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": "world"}
"""
# What the issue asks for, in milliseconds.
OVERVIEW, PAGE = 200, 100


def pages(stack: Stack) -> dict[str, str]:
    """By what each is."""
    parts = stack.concord
    event = parts.outbox.events(limit=1)[0]
    week = (datetime.now(UTC) - timedelta(days=7)).date().isoformat()
    return {
        "overview": "/admin",
        "messages": "/admin/messages",
        "messages, one state": "/admin/messages?state=quarantined",
        "messages, one account": "/admin/messages?account=team07",
        "messages, a word": "/admin/messages?q=invoice",
        "messages, a word nobody wrote": "/admin/messages?q=xyzzy-plugh",
        "messages, since a week": f"/admin/messages?since={week}",
        "message": f"/admin/messages/{event.message_id}",
        "quarantine": "/admin/quarantine",
        "events": "/admin/events",
        "events, one account": "/admin/events?account=team07",
        "event": f"/admin/events/{event.id}",
        "deliveries": "/admin/deliveries",
        "deliveries, given up": "/admin/deliveries?state=dead",
        "workflow runs": "/admin/workflows",
        "mailboxes": "/admin/settings",
        "mailbox": f"/admin/settings/accounts/{parts.accounts.get('team07').id}",
        "audit": "/admin/audit",
        "API: messages": "/api/v1/messages",
    }


def main() -> None:
    """Measure, and print a table."""
    log.configure("pretty", "warning")
    count = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with PostgresServer() as postgres, RedisServer() as redis, tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "stack")
        place.mkdir()
        port, hello_port = free_port(), free_port()
        url = postgres.url(postgres.create())
        with Stack(place, redis_url=redis.url, database_url=url, admin={"port": port}) as stack:
            began = time.monotonic()
            fill(stack.concord.engine, count)
            settle(stack.concord.engine)
            Identity(stack.concord).add_user("bench", Role.ADMIN, PASSWORD, by=SHELL)
            seconds = time.monotonic() - began
            say(f"{count:,} messages on PostgreSQL, made in {seconds:.0f} s; {ROUNDS} rounds of {REQUESTS}")
            stack.start("admin")
            with hello(Path(folder), hello_port), browser(port) as visitor:
                measure(stack, visitor, hello_port)


def measure(stack: Stack, visitor: httpx.Client, hello_port: int) -> None:
    """A line for each page."""
    with httpx.Client(base_url=f"http://127.0.0.1:{hello_port}") as plain:
        times: dict[str, list[list[float]]] = {"hello": [], **{name: [] for name in pages(stack)}}
        places = pages(stack)
        for _ in range(ROUNDS):
            times["hello"].append(timed(partial(plain.get, "/"), REQUESTS))
            for name, path in places.items():
                times[name].append(timed(partial(visitor.get, path), REQUESTS))
    base = report("a bare FastAPI 'hello'", times["hello"], None, None)
    failed = 0
    for name, path in places.items():
        limit = OVERVIEW if name == "overview" else PAGE
        failed += report(name, times[name], base, limit, octets=len(visitor.get(path).content)) > limit
    say(f"{failed} of {len(places)} pages are over the limit.")


def timed(ask: Callable[[], httpx.Response], times: int) -> list[float]:
    """Milliseconds of each request, after a few to warm up."""
    taken = []
    for number in range(times + 3):
        began = time.perf_counter()
        answer = ask()
        assert answer.status_code == httpx.codes.OK, (answer.url, answer.status_code)
        if number >= 3:
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def p95(taken: list[float]) -> float:
    """What 95 of 100 requests stay under."""
    return statistics.quantiles(taken, n=20)[-1]


def report(name: str, rounds: list[list[float]], base: float | None, limit: int | None, *, octets: int = 0) -> float:
    """One line of the table; its p95."""
    half = statistics.median(statistics.median(taken) for taken in rounds)
    most = statistics.median(p95(taken) for taken in rounds)
    ratio = f"{most / base:6.1f} × hello" if base else ""
    verdict = "" if limit is None else ("ok" if most <= limit else f"OVER {limit} ms")
    say(f"{name:32} median {half:7.1f} ms   p95 {most:7.1f} ms  {ratio:14} {octets / 1000:6.1f} KB  {verdict}")
    return most


@contextmanager
def hello(folder: Path, port: int) -> Iterator[None]:
    """The baseline, on the same uvicorn."""
    (folder / "hello.py").write_text(HELLO, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "hello:app",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(command, cwd=folder)
    try:
        assert eventually(lambda: _answers(f"http://127.0.0.1:{port}/"), within=30)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def browser(port: int) -> Iterator[httpx.Client]:
    """Signed in."""
    headers = {"Accept": "text/html"}
    with httpx.Client(
        base_url=f"http://localhost:{port}", headers=headers, follow_redirects=True, timeout=60
    ) as client:
        assert eventually(lambda: _answers(f"http://localhost:{port}/admin/login"), within=60)
        proof = re.search(r'name="csrf" value="(\w+)"', client.get("/admin/login").text)
        assert proof
        client.post(
            "/admin/login", data={"csrf": proof[1], "name": "bench", "password": PASSWORD, "next": "/admin/profile"}
        )
        yield client


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def say(line: str) -> None:
    """At once: it takes minutes."""
    print(line, flush=True)  # noqa: T201 - a person runs it


if __name__ == "__main__":
    main()
