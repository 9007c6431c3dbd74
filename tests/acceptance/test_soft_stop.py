"""A stop's patience ends for a poll too: the process goes, what it had in hand is in the queue (D2, trap 20)."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.ports import POLL_QUEUE
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.waiting import eventually

PATIENCE = 2


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A mail server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def slow_stack(tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    """Its polls take a minute, its stops two seconds."""
    slow = {"interval": 60, "budget": 60, "timeout": 60}
    with Stack(tmp_path, redis_url=own_redis.url, poll=slow, worker={"soft_shutdown_timeout": PATIENCE}) as running:
        yield running


def begin_poll(stack: Stack, port: int) -> None:
    """A worker of its own has a poll of this server in hand."""
    account = stack.add_account("office", port=port, user="office", password="sesame")
    stack.start("poll")
    stack.concord.queue.poll(account.id)
    assert eventually(lambda: stack.concord.queue.depth().get("unacked") == 1), stack.log("poll")


def test_polling_worker_ends_when_its_time_is_up(slow_stack: Stack, silent_port: int) -> None:
    """D2: it would wait for its threads else, a minute or more, until its manager kills it."""
    stack = slow_stack
    begin_poll(stack, silent_port)
    began = time.monotonic()

    os.kill(stack.pid("poll"), signal.SIGQUIT)

    assert eventually(lambda: not stack.is_running("poll"), within=PATIENCE + 8), stack.log("poll")
    assert time.monotonic() - began >= PATIENCE - 0.5
    depth = stack.concord.queue.depth()
    assert (depth[POLL_QUEUE], depth["unacked"]) == (1, 0)
    assert "Unrecoverable" not in stack.log("poll")
    assert "Traceback" not in stack.log("poll")


@pytest.fixture
def patient_stack(tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    """Its polls of a silent server take three seconds, its stops may take a minute."""
    short = {"interval": 60, "budget": 60, "timeout": 3}
    with Stack(tmp_path, redis_url=own_redis.url, poll=short, worker={"soft_shutdown_timeout": 60}) as running:
        yield running


def test_worker_ends_as_soon_as_its_tasks_are_done(patient_stack: Stack, silent_port: int) -> None:
    """D2: not when its patience ends; and what is done is not in the queue again."""
    stack = patient_stack
    begin_poll(stack, silent_port)

    os.kill(stack.pid("poll"), signal.SIGQUIT)

    assert eventually(lambda: not stack.is_running("poll"), within=20), stack.log("poll")
    depth = stack.concord.queue.depth()
    assert (depth[POLL_QUEUE], depth["unacked"]) == (0, 0), stack.log("poll")
    assert "worker.stopping" in stack.log("poll")
    assert "worker.gave_up" not in stack.log("poll")


def test_a_stop_without_redis_does_not_wait_for_it(patient_stack: Stack, own_redis: RedisServer) -> None:
    """Nothing runs, nothing can be given back: the worker goes at once."""
    stack = patient_stack
    stack.start("poll")
    assert eventually(lambda: " ready" in stack.log("poll")), stack.log("poll")
    own_redis.stop()
    assert eventually(lambda: "Connection to broker lost" in stack.log("poll")), stack.log("poll")

    os.kill(stack.pid("poll"), signal.SIGQUIT)

    assert eventually(lambda: not stack.is_running("poll"), within=20), stack.log("poll")
