"""The admin service as a real process under a service manager: it is there to tell, whatever is wrong (D1, D2)."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.settings import DatabaseSettings
from tests.servers.redis import RedisServer, free_port
from tests.servers.service import Service
from tests.waiting import eventually

PASSWORD = "db-Zw1ebelkuchen"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def credentials(tmp_path: Path, empty_redis: RedisServer) -> dict[str, str]:
    """Of a Concord in good health."""
    url = f"sqlite:///{tmp_path}/concord.db"
    engine = make_engine(DatabaseSettings(url=SecretStr(url)))
    schema.upgrade(engine)
    engine.dispose()
    return {"secret_key": Fernet.generate_key().decode(), "database__url": url, "redis__url": empty_redis.url}


def service(folder: Path, port: int, credentials: Mapping[str, str]) -> Service:
    settings = f'[admin]\nport = {port}\n[archive]\npath = "{folder}/archive"\n'
    return Service("admin", folder, settings=settings, credentials=credentials)


@pytest.fixture
def admin(tmp_path: Path, port: int, credentials: dict[str, str]) -> Iterator[Service]:
    with service(tmp_path, port, credentials) as admin:
        assert admin.is_ready(), admin.log
        yield admin


def health(port: int) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_ready_means_that_it_answers_and_pings_follow(admin: Service, port: int) -> None:
    """D1."""
    status, told = health(port)

    assert (status, told["status"]) == (200, "ok"), told
    assert {name: check["ok"] for name, check in told["checks"].items()} == dict.fromkeys(
        ("key", "database", "redis", "archive", "mail", "schedule", "workers", "polls"), True
    )
    assert admin.keeps_pinging(), admin.log


def test_page_is_served(admin: Service, port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/admin", timeout=10) as answer:
        page = answer.read().decode()

    assert "· Concord</title>" in page
    assert answer.headers["Server"] is None


def test_it_starts_and_tells_when_everything_else_is_wrong(tmp_path: Path, port: int) -> None:
    """A3: causes and remedies, and no password."""
    nobody = free_port()
    wrong = {
        "database__url": f"postgresql://concord:{PASSWORD}@127.0.0.1:{nobody}/concord",
        "redis__url": f"redis://:{PASSWORD}@127.0.0.1:{nobody}/0",
    }
    with service(tmp_path, port, wrong) as admin:
        assert admin.is_ready(), admin.log
        status, told = health(port)

    broken = {name: check for name, check in told["checks"].items() if not check["ok"]}
    assert (status, told["status"], set(broken)) == (503, "degraded", {"key", "database", "redis"})
    assert all(f'"check": "{name}"' in admin.log for name in broken)
    assert "concord secrets init" in admin.log
    assert PASSWORD not in json.dumps(told) + admin.log


def test_schema_that_is_not_there_yet_is_told(tmp_path: Path, port: int, credentials: dict[str, str]) -> None:
    empty = {**credentials, "database__url": f"sqlite:///{tmp_path}/new.db"}
    with service(tmp_path, port, empty) as admin:
        assert admin.is_ready(), admin.log
        _, told = health(port)

    assert not told["checks"]["database"]["ok"]
    assert "The database is empty" in admin.log
    assert "Run 'concord db upgrade'" in admin.log


def test_redis_that_hangs_delays_neither_answer_nor_ping_nor_stop(
    admin: Service, port: int, empty_redis: RedisServer
) -> None:
    """D1, D2: it says so within seconds, again and again."""
    empty_redis.freeze()
    try:
        begun = time.monotonic()
        answers = [health(port) for _ in range(2)]
        seconds = time.monotonic() - begun
        pinged = admin.keeps_pinging()
        admin.process.terminate()
        code = admin.process.wait(timeout=30)
    finally:
        empty_redis.thaw()

    assert [(status, told["checks"]["redis"]["ok"]) for status, told in answers] == [(503, False)] * 2
    assert answers[0][1]["checks"]["database"]["ok"]
    assert seconds < 9
    assert pinged
    assert code == 0


def test_what_was_asked_before_the_stop_is_still_answered(admin: Service, port: int, empty_redis: RedisServer) -> None:
    """D2: and the end is told, in order, with nothing alarming in the log."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    idle = len(_threads(admin.process.pid))
    empty_redis.freeze()
    try:
        connection.request("GET", "/healthz")
        assert eventually(lambda: len(_threads(admin.process.pid)) > idle)
        admin.process.send_signal(signal.SIGTERM)
        status = connection.getresponse().status
    finally:
        empty_redis.thaw()
        connection.close()

    assert status == 503
    assert admin.process.wait(timeout=30) == 0
    assert "STOPPING=1" in admin.manager.lines
    assert "Traceback" not in admin.log
    assert '"level": "error"' not in admin.log


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def test_port_that_is_taken_is_told_in_words(tmp_path: Path, credentials: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with service(tmp_path, port, credentials) as admin:
            code = admin.process.wait(timeout=90)

    assert code == 1
    assert "The admin service cannot listen there" in admin.log
    assert "Address already in use" in admin.log
    assert "admin.port" in admin.log
    assert "Traceback" not in admin.log
