"""Made-up requests of strangers to every route: each costs little memory and little time (issue 10)."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import time
import tracemalloc
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
from fastapi import FastAPI

from concord.bootstrap import Concord
from concord.web.app import make_app
from tests.web_world import every_route

REQUESTS = 1_000
MOST_OCTETS = 16_000_000
MOST_SECONDS = 1.0
COOKIES = ("concord_session", "concord_flash", "concord_door", "concord_language", "concord_theme", "concord_browser")
FIELDS = ("name", "password", "csrf", "next", "back", "language", "theme", "state", "code", "q", "cursor", "limit")
TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "multipart/form-data; boundary=" + "y" * 5_000,
    "application/json; charset=utf-7",
)
# Fragments that have been more than they seem: formats, numbers, nesting, encodings, patterns, separators.
EVIL = (
    b"%(a)300000000s",
    b"{0:>300000000}",
    b"9" * 4_000,
    b"-1",
    b"1e308",
    b"[" * 3_000,
    b'{"a":' * 500,
    b"%00",
    b"%u0000",
    b"\xff\xfe\x80",
    b"../" * 500,
    b";" * 3_000,
    b"," * 3_000,
    b"zh;q=" + b"9" * 300,
    b"a=b&" * 900,
    b"a" * 6_000,
    b"=?utf-8?b?" + b"A" * 2_000,
    b"(" * 1_000 + b"a+" * 300 + b")" * 1_000,
    b"",
)


class Stranger:
    """Makes requests up, from a seed."""

    def __init__(self, app: FastAPI, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, and no secret
        self._paths = cycle(sorted({route.path for route in every_route(app)}))

    def request(self) -> tuple[dict[str, Any], list[bytes]]:
        """An ASGI scope, and the pieces of a body."""
        chance = self._chance
        path = re.sub(r"\{[^}]*\}", lambda _: self._text(200).replace("/", ""), next(self._paths))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": chance.choice(["1.1", "1.0"]),
            "method": chance.choice(["GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"]),
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": self._query(),
            "root_path": "",
            "headers": list(self._headers()),
            "client": ("192.0.2.1", 1),
            "server": ("localhost", 3000),
            "state": {},
        }
        return scope, [self._body() for _ in range(chance.randint(0, 3))]

    def _headers(self) -> Iterator[tuple[bytes, bytes]]:
        chance = self._chance
        yield b"host", chance.choice([b"localhost:3000"] * 9 + [self._evil()])
        yield b"cookie", b"; ".join(name.encode() + b"=" + self._cookie() for name in chance.sample(COOKIES, 3))
        yield b"content-type", chance.choice(TYPES).encode()
        yield b"accept", chance.choice([b"text/html", b"text/event-stream", b"*/*", self._evil()])
        if chance.random() < 0.3:
            yield b"authorization", chance.choice([b"Bearer ", b"Basic ", b""]) + self._evil()
        if chance.random() < 0.3:
            yield b"idempotency-key", self._evil()[:300]
        for name in chance.sample(
            [b"accept-language", b"origin", b"x-csrf-token", b"user-agent", b"content-length"], 2
        ):
            yield name, self._evil()

    def _cookie(self) -> bytes:
        forged = {"k": "bad", "s": "%(a)300000000s", "v": {"a": self._text(20)}}
        return self._chance.choice([base64.urlsafe_b64encode(json.dumps(forged).encode()), self._evil()])

    def _query(self) -> bytes:
        names = self._chance.sample(FIELDS, self._chance.randint(0, 4))
        return b"&".join(name.encode() + b"=" + self._evil() for name in names)

    def _body(self) -> bytes:
        return self._chance.choice([self._query(), self._evil(), self._chance.randbytes(2_000)])

    def _evil(self) -> bytes:
        return b"".join(self._chance.choices(EVIL, k=self._chance.randint(1, 2)))

    def _text(self, most: int) -> str:
        return self._evil()[:most].decode("latin-1")


async def cost(app: FastAPI, scope: dict[str, Any], body: list[bytes]) -> tuple[int, int, float]:
    """The status, the octets at the peak and the seconds of CPU of one answer."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    began = time.thread_time()
    status = await answered(app, scope, body)
    return status, tracemalloc.get_traced_memory()[1] - before, time.thread_time() - began


async def answered(app: FastAPI, scope: dict[str, Any], body: list[bytes]) -> int:
    """The status, as an ASGI server gets it."""
    pieces = [{"type": "http.request", "body": piece, "more_body": True} for piece in body]
    pieces.append({"type": "http.request", "body": b"", "more_body": False})
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)  # type: ignore[arg-type]  # plain dictionaries are what servers send
    return statuses[0]


@pytest.fixture
def app(concord: Concord) -> FastAPI:
    return make_app(concord)


def test_no_made_up_request_costs_much_or_breaks_anything(app: FastAPI) -> None:
    stranger = Stranger(app, seed=10)

    async def all_of_them() -> None:
        for number in range(REQUESTS):
            scope, body = stranger.request()
            status, octets, seconds = await cost(app, scope, body)
            if seconds > MOST_SECONDS:
                # What only the first request of its kind reads (templates, modules) is not this visitor's cost.
                seconds = (await cost(app, scope, body))[2]
            seen = (number, scope["method"], scope["path"][:60], scope["headers"])
            assert status < 500 or scope["path"] == "/healthz", seen
            assert octets <= MOST_OCTETS, seen
            assert seconds <= MOST_SECONDS, seen

    tracemalloc.start()
    try:
        asyncio.run(all_of_them())
    finally:
        tracemalloc.stop()
