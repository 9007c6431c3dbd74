"""A secret never shows: not in Redis, logs, the database, Flower's API, process lists, or what commands print (A3)."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from concord.model.message import MessageState
from tests.acceptance.conftest import add_mailbox
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.waiting import eventually

PASSWORD = "Tr0ub4dor-geheim-密码"
WRONG = "Wr0ng-horse-battery"
REDIS_PASSWORD = "redis-Zw1tscherm4schine"
FLOWER_PASSWORD = "flower-Bl0menkohl"
WEBHOOK_SECRET = "whsec_" + b64encode(b"webhook-Kn0blauchzehe-123").decode()
LOG_FILES = {"celery-beat.log", "celery-worker.log", "celery-flower.log", "concord-admin.log"}
SECRETS = (PASSWORD, WRONG, REDIS_PASSWORD, FLOWER_PASSWORD, WEBHOOK_SECRET)


def disguises(secret: str) -> Iterator[bytes]:
    """As it is, as JSON and as base64 would write it."""
    yield secret.encode()
    yield json.dumps(secret).strip('"').encode()
    yield b64encode(secret.encode()).rstrip(b"=")


def found_in(text: bytes) -> list[str]:
    return [secret for secret in SECRETS for shape in disguises(secret) if shape in text]


@pytest.fixture
def locked_redis() -> Iterator[RedisServer]:
    with RedisServer(password=REDIS_PASSWORD) as server:
        yield server


def test_no_secret_shows_anywhere(tmp_path: Path, locked_redis: RedisServer, dovecot: Dovecot) -> None:
    right, wrong = dovecot.add_user("scan-right", PASSWORD), dovecot.add_user("scan-wrong", "something else")
    flower = {"port": free_port(), "user": "watcher", "password": FLOWER_PASSWORD}
    admin = {"port": free_port()}
    files = tmp_path / "log-files"
    files.mkdir()
    log = {"directory": str(files)}
    with Stack(tmp_path, redis_url=locked_redis.url, flower=flower, admin=admin, log=log) as stack:
        add_mailbox(stack, dovecot, right)
        stack.add_account(wrong, port=dovecot.imap_port, user=wrong, password=WRONG)
        secret_file = tmp_path / "webhook-secret"
        secret_file.write_text(WEBHOOK_SECRET)
        plan = tmp_path / "plan.toml"
        plan.write_text(
            '[[handlers]]\nname = "crm"\nkind = "webhook"\noptions = { url = "https://203.0.113.1/" }\n'
            f'secret_file = "{secret_file}"\n[[rules]]\nname = "all"\nmatch = {{ account = "*" }}\nhandlers = ["crm"]\n'
        )
        printed = stack.cli("apply", str(plan)).stdout
        secret_file.unlink()
        dovecot.deliver(right, mail("To be scanned"))
        stack.start("beat", "poll", "mail", "deliver", "flower", "admin")
        assert eventually(lambda: stack.count(MessageState.PROCESSED) == 1, within=60), stack.log("mail")
        assert eventually(lambda: "mailbox_denied" in stack.cli("account", "show", wrong, "--json").stdout)

        stack.cli("user", "add", "monitor", "--role", "viewer", "--password-stdin", stdin="some words together\n")
        token = stack.cli("token", "create", "health", "--user", "monitor", "--scope", "read").stdout.strip()
        pages = "".join(flower_pages(flower))
        commands = [
            ("account", "list", "--json"),
            ("account", "show", right, "--json"),
            ("account", "test", wrong),
            ("config", "show", "--json"),
            ("config", "show"),
            ("config", "check"),
            ("message", "list", "--json"),
            ("delivery", "list", "--json"),
            ("handler", "list", "--json"),
        ]
        told = [stack.cli(*command, check=False) for command in commands]
        printed += "".join(done.stdout + done.stderr for done in told)

        places = {
            "redis": b"".join(everything_in(locked_redis)),
            "logs": "".join(
                stack.log(name) for name in ("beat", "poll", "mail", "deliver", "flower", "admin")
            ).encode(),
            "log files": b"".join(path.read_bytes() for path in files.iterdir()),
            "admin service": health(admin["port"], token),
            "database": "".join(sqlite3.connect(tmp_path / "concord.db").iterdump()).encode(),
            "database files": b"".join(path.read_bytes() for path in tmp_path.glob("concord.db*")),
            "flower": pages.encode(),
            "process list": subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, check=True).stdout,
            "commands": printed.encode(),
        }
    assert {place: found_in(text) for place, text in places.items() if found_in(text)} == {}
    assert {path.name for path in files.iterdir()} == LOG_FILES
    assert all(len(text) > 100 for text in places.values()), {place: len(text) for place, text in places.items()}


def health(port: int, token: str) -> bytes:
    """What the admin service tells a program that may read."""
    header = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"http://127.0.0.1:{port}/healthz", headers=header, timeout=30).content


def everything_in(server: RedisServer) -> Iterator[bytes]:
    """Every key and its serialised value."""
    with server.client() as client:
        client.connection_pool.connection_kwargs["decode_responses"] = False
        for key in client.scan_iter(count=1000):
            yield key
            yield client.dump(key) or b""


def flower_pages(flower: dict[str, object]) -> Iterator[str]:
    """What Flower's API tells somebody who is logged in."""
    login = b64encode(f"{flower['user']}:{flower['password']}".encode()).decode()
    for page in ("api/workers?refresh=1", "api/tasks", "workers", "broker"):
        url = f"http://127.0.0.1:{flower['port']}/{page}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            yield answer.read().decode()
