"""Flower as a real process: behind a login, on loopback, with nothing to read in the process list."""

from __future__ import annotations

import base64
import http.client
from pathlib import Path

import psutil
import pytest

from tests.servers.daemon import Daemon, eventually
from tests.servers.redis import RedisServer, free_port

PASSWORD = "a-page-word"


def status(port: int, password: str | None = None) -> int:
    """The answer to the front page; 0 where nobody listens."""
    login = base64.b64encode(f"concord:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/workers", headers={"Authorization": f"Basic {login}"} if password else {})
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
