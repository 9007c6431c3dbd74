"""Beat under a real notify socket: ready without Redis, alive while it ticks, whatever Redis does."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.daemon import Daemon
from tests.servers.manager import NotifySocket
from tests.servers.redis import RedisServer
from tests.servers.swallower import SwallowingProxy
from tests.waiting import eventually

BEAT = ["beat", "--loglevel=INFO"]
WATCHDOG = 8.0
QUICK = {
    "CONCORD_BEAT__MAX_LOOP_INTERVAL": "1",
    "CONCORD_BEAT__LOCK_TIMEOUT": "30",
    "CONCORD_REDIS__SOCKET_TIMEOUT": "3",
    "CONCORD_REDIS__CONNECT_TIMEOUT": "1",
}


@pytest.fixture
def manager() -> Iterator[NotifySocket]:
    with NotifySocket(watchdog=WATCHDOG) as listening:
        yield listening


def goes_on(manager: NotifySocket, pings: int = 3) -> bool:
    """Whether it pings so many times more, never later than its manager allows."""
    wanted = manager.count("WATCHDOG=1") + pings
    return eventually(
        lambda: manager.silent_for() > WATCHDOG or manager.count("WATCHDOG=1") >= wanted, within=pings * WATCHDOG
    ) and (manager.silent_for() < WATCHDOG)


def test_beat_is_ready_and_alive_without_redis(manager: NotifySocket, own_redis: RedisServer, tmp_path: Path) -> None:
    """D1, traps 46 and 52."""
    own_redis.stop()
    with Daemon(BEAT, own_redis, tmp_path, {**QUICK, **manager.environment}) as beat:
        assert eventually(lambda: manager.count("READY=1")), beat.log
        assert eventually(lambda: manager.status.startswith("Redis is down, since")), beat.log
        assert goes_on(manager)

        own_redis.start()

        assert eventually(lambda: re.match(r"leading: \d+ entries, next due in", manager.status)), manager.status
        assert goes_on(manager)
        assert manager.speakers == {beat.pid}


def test_standby_is_alive_too(manager: NotifySocket, own_redis: RedisServer, tmp_path: Path) -> None:
    """D1, O4."""
    with own_redis.client() as client:
        client.set("concord:beat::lock", "another", px=60_000)

    with Daemon(BEAT, own_redis, tmp_path, {**QUICK, **manager.environment}) as standby:
        assert eventually(lambda: manager.status.startswith("standby: another Beat leads")), standby.log
        assert goes_on(manager)


def test_swallowed_beat_ticks_within_its_time_outs(
    manager: NotifySocket, own_redis: RedisServer, tmp_path: Path
) -> None:
    """D1, trap 22: a tick ends in bounded time, and the schedule goes on over a new connection."""
    with (
        SwallowingProxy(own_redis.port) as proxy,
        Daemon(BEAT, own_redis, tmp_path, {**QUICK, **manager.environment}, url=proxy.url) as beat,
    ):
        assert eventually(lambda: manager.status.startswith("leading")), beat.log

        assert proxy.swallow() >= 1

        assert eventually(lambda: "beat.redis_down" in beat.log), beat.log
        assert eventually(lambda: "beat.resumed" in beat.log), beat.log
        assert goes_on(manager)


def test_frozen_redis_leaves_beat_alive(manager: NotifySocket, own_redis: RedisServer, tmp_path: Path) -> None:
    """D1: the worst case, every connection opens and none answers."""
    with Daemon(BEAT, own_redis, tmp_path, {**QUICK, **manager.environment}) as beat:
        assert eventually(lambda: manager.status.startswith("leading")), beat.log

        own_redis.freeze()

        assert eventually(lambda: manager.status.startswith("Redis is down")), beat.log
        assert goes_on(manager, pings=4)


def test_stopped_beat_falls_silent(manager: NotifySocket, own_redis: RedisServer, tmp_path: Path) -> None:
    """D1: SIGSTOP."""
    with Daemon(BEAT, own_redis, tmp_path, {**QUICK, **manager.environment}) as beat:
        assert eventually(lambda: manager.status.startswith("leading")), beat.log

        os.kill(beat.pid, signal.SIGSTOP)

        assert eventually(lambda: manager.silent_for() > WATCHDOG, within=15)


def test_closing_beat_says_so(manager: NotifySocket, own_redis: RedisServer, tmp_path: Path) -> None:
    with Daemon(BEAT, own_redis, tmp_path, {**QUICK, **manager.environment}) as beat:
        assert eventually(lambda: manager.status.startswith("leading")), beat.log

        os.kill(beat.pid, signal.SIGTERM)

        assert eventually(lambda: not beat.alive), beat.log
        assert "STOPPING=1" in manager.lines
