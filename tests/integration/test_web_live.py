"""A page that is kept true by a stream, from the admin service as a real process (U1, U4, D2)."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet

from tests.servers.redis import RedisServer, free_port
from tests.servers.service import Service
from tests.waiting import eventually
from tests.web_world import PASSWORD, web_concord


@pytest.fixture
def base(tmp_path: Path, empty_redis: RedisServer) -> Iterator[tuple[str, Service]]:
    """Where it answers, and the process."""
    url, port = f"sqlite:///{tmp_path}/concord.db", free_port()
    with web_concord(tmp_path, database=url):
        pass
    credentials = {"secret_key": Fernet.generate_key().decode(), "database__url": url, "redis__url": empty_redis.url}
    settings = f'[admin]\nport = {port}\n[archive]\npath = "{tmp_path}/archive"\n'
    with Service("admin", tmp_path, settings=settings, credentials=credentials) as admin:
        assert admin.is_ready(), admin.log
        yield f"http://localhost:{port}", admin


@pytest.fixture
def carol(base: tuple[str, Service]) -> Iterator[httpx.Client]:
    """Her browser, signed in."""
    with httpx.Client(base_url=base[0], headers={"Accept": "text/html"}, timeout=20) as client:
        proof = re.search(r'name="csrf" value="([^"]+)"', client.get("/admin/login").text)
        assert proof
        fields = {"csrf": proof[1], "name": "carol", "password": PASSWORD, "next": "/admin/profile"}
        assert client.post("/admin/login", data=fields).status_code == 303
        yield client


def test_stream_begins_with_what_is_so_now(carol: httpx.Client) -> None:
    with carol.stream("GET", "/admin/overview/live") as answer:
        lines = answer.iter_lines()
        told = [next(lines) for _ in range(3)]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert told[0].startswith("retry: ")
    assert told[2].startswith('data: <div id="state">')


def test_open_stream_does_not_hold_up_the_end_of_the_service(carol: httpx.Client, base: tuple[str, Service]) -> None:
    _, admin = base
    with carol.stream("GET", "/admin/overview/live") as answer:
        lines = answer.iter_lines()
        next(lines)
        begun = time.monotonic()
        admin.process.send_signal(signal.SIGTERM)

        assert eventually(lambda: admin.process.poll() is not None, within=20), admin.log
        assert time.monotonic() - begun < 4
        del lines  # held until here: an iterator that nobody holds hangs up
    assert admin.process.returncode == 0
    assert '"level": "error"' not in admin.log
