"""Flower as a real process: behind a login, on loopback, only to look at, and watched (W4, W8, A3, D1)."""

from __future__ import annotations

import base64
import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from flower.urls import handlers

from tests.servers.daemon import Daemon
from tests.servers.redis import RedisServer, free_port
from tests.servers.service import Service
from tests.waiting import eventually

PASSWORD = "a-page-word"
# Flower has no switch for the first two: they are why it stays on loopback. The others tell nothing.
OPEN = {"/metrics", "/healthcheck", "/login", "/logout"}

STOP_AT_THREAD = """
import os, signal, threading
start = threading.Thread.start
def start_and_stop(thread):
    start(thread)
    if thread.name.startswith("ThreadPoolExecutor"):
        os.kill(os.getpid(), signal.SIGTERM)
threading.Thread.start = start_and_stop
"""


def status(port: int, password: str | None = None, path: str = "/workers", method: str = "GET") -> int:
    """The answer to a page; 0 where nobody listens."""
    login = base64.b64encode(f"concord:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Authorization": f"Basic {login}"} if password else {})
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("configured", [True, False])
def test_flower_is_always_behind_a_login(empty_redis: RedisServer, tmp_path: Path, *, configured: bool) -> None:
    """W4, W8, A3: also where nobody set a password."""
    port = free_port()
    if configured:
        (tmp_path / "credentials").mkdir()
        (tmp_path / "credentials" / "flower__password").write_text(PASSWORD, encoding="utf-8")

    with Daemon(["flower", f"--port={port}"], empty_redis, tmp_path) as flower:
        assert eventually(lambda: status(port)), flower.log
        process = psutil.Process(flower.pid)
        listens = {each.laddr.ip for each in process.net_connections() if each.status == psutil.CONN_LISTEN}

        assert status(port) == 401
        assert status(port, "wrong") == 401
        assert status(port, PASSWORD) == (200 if configured else 401)
        assert listens == {"127.0.0.1"}
        assert PASSWORD not in " ".join([*process.cmdline(), *process.environ().values()])
    assert PASSWORD not in flower.log


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def flower(empty_redis: RedisServer, tmp_path: Path, port: int) -> Iterator[Service]:
    secrets = {"redis__url": empty_redis.url, "flower__password": PASSWORD}
    with Service("flower", tmp_path, settings=f"[flower]\nport = {port}\n", credentials=secrets) as flower:
        yield flower


def pages() -> list[str]:
    """An address for each of Flower's handlers."""
    patterns = [str((getattr(each, "regex", None) and each.regex.pattern) or each[0]) for each in handlers]
    return [re.sub(r"\(\.[+*]\)|\.\*", "x", pattern).rstrip("$").replace("/?", "") for pattern in patterns]


def test_every_page_but_the_known_open_ones_asks_for_the_login(flower: Service, port: int) -> None:
    """W4: also those of its API, and those that a release to come may add."""
    assert flower.is_ready(), flower.log

    answers = {(method, page): status(port, path=page, method=method) for page in pages() for method in ("GET", "POST")}

    assert {page for (_, page), code in answers.items() if code < 400} <= OPEN
    assert {code for (_, page), code in answers.items() if page not in OPEN} <= {401, 403, 404, 405}
    assert list(answers.values()).count(401) > 25


def test_flower_only_looks(flower: Service, port: int) -> None:
    """M3: daemons are moved through the manager, which writes down who asked."""
    assert flower.is_ready(), flower.log

    controls = [page for page in pages() if page.startswith(("/api/worker/", "/api/task/revoke", "/api/task/send"))]
    answers = {page: status(port, PASSWORD, page, "POST") for page in controls}

    assert set(answers.values()) == {403}, answers


def test_ready_means_that_it_answers(flower: Service, port: int) -> None:
    """D1."""
    assert flower.is_ready(), flower.log
    first = status(port, PASSWORD)

    assert first == 200
    assert flower.keeps_pinging(), flower.log


def test_redis_that_hangs_restarts_nobody(flower: Service, empty_redis: RedisServer, port: int) -> None:
    """Trap 51: neither silence nor an end."""
    assert flower.is_ready(), flower.log

    empty_redis.freeze()
    try:
        assert flower.keeps_pinging(), flower.log
        assert status(port, path="/healthcheck") == 200
    finally:
        empty_redis.thaw()


def test_stop_is_told_and_takes_seconds(flower: Service) -> None:
    """D2."""
    assert flower.is_ready(), flower.log

    flower.process.terminate()

    assert flower.process.wait(timeout=90) == 0
    assert "STOPPING=1" in flower.manager.lines
    assert "Traceback" not in flower.log


def test_stop_while_a_thread_is_starting_ends_flower(empty_redis: RedisServer, tmp_path: Path, port: int) -> None:
    """An exception out of the signal handler left the thread to nobody, and the process waited for it for ever."""
    secrets = {"redis__url": empty_redis.url, "flower__password": PASSWORD}
    with Service(
        "flower", tmp_path, settings=f"[flower]\nport = {port}\n", credentials=secrets, before=STOP_AT_THREAD
    ) as flower:
        assert flower.process.wait(timeout=90) == 0

    assert "STOPPING=1" in flower.manager.lines
    assert "Traceback" not in flower.log


def test_port_that_is_taken_is_told_in_words(tmp_path: Path) -> None:
    """W8: cause and remedy, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Service("flower", tmp_path, settings=f"[flower]\nport = {port}\n") as flower:
            code = flower.process.wait(timeout=90)

    assert code == 1
    assert "Flower cannot listen there" in flower.log
    assert f"port: {port}" in flower.log
    assert "flower.port" in flower.log
    assert "Traceback" not in flower.log


@pytest.mark.parametrize(
    ("settings", "password", "told"),
    [
        ('address = "0.0.0.0"', PASSWORD, "flower.exposed"),
        ("", "pass-密码", "can only have ASCII characters"),
    ],
)
def test_unwise_settings_are_told(
    empty_redis: RedisServer, tmp_path: Path, port: int, settings: str, password: str, told: str
) -> None:
    secrets = {"redis__url": empty_redis.url, "flower__password": password}
    with Service("flower", tmp_path, settings=f"[flower]\nport = {port}\n{settings}", credentials=secrets) as flower:
        assert eventually(lambda: told in flower.log), flower.log

    assert password not in flower.log
