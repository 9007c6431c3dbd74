"""Mail is silenced through Redis, every part answers, and health says so all the same (issue 10, finding 8)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kombu import pools
from pydantic import SecretStr

from concord.adapters.redbeat import ConcordScheduler
from concord.adapters.task_names import LEVEL, POLL_QUEUE, step_key
from concord.bootstrap import Concord
from concord.manager.status import beat_patience
from concord.settings import DatabaseSettings, RedisSettings, Settings
from concord.web import flow
from concord.web.check import Check
from concord.web.health import looked
from tests.servers.redis import RedisServer
from tests.sql_world import account

PREFIX = "concord:"


class Site:
    """One mailbox, its schedule in a real Redis, and a Beat that ticks when the test says so."""

    def __init__(self, redis: RedisServer, database: Path) -> None:
        self.redis = redis
        self.concord = Concord(
            Settings(
                database=DatabaseSettings(url=SecretStr(f"sqlite:///{database}")),
                redis=RedisSettings(url=SecretStr(redis.url), socket_timeout=1, connect_timeout=1),
            )
        )
        self.concord.accounts.add(account(interval=60, start_at=datetime.now(UTC)))
        self.beat = ConcordScheduler(self.concord.celery)
        self.beat.clock = self.now
        self.ahead = 0.0
        # Health goes by the same clock as Beat.
        self.concord.__dict__["clock"] = lambda: datetime.fromtimestamp(self.now(), UTC)
        self.beat.tick()
        self.concord.sync()

    def now(self) -> float:
        return time.time() + self.ahead

    def let(self, seconds: float, *, beat_ticks: bool = True) -> None:
        """So much time passes, in steps of Beat's own."""
        for _ in range(round(seconds / 5)):
            self.ahead += 5
            if beat_ticks:
                self.beat.tick()

    def look(self, part: Callable[[Concord], str | Check]) -> Check:
        return looked(lambda: part(self.concord))


@pytest.fixture
def site(empty_redis: RedisServer, tmp_path: Path, sqlite_template: bytes) -> Iterator[Site]:
    database = tmp_path / "concord.db"
    database.write_bytes(sqlite_template)
    made = Site(empty_redis, database)
    yield made
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    made.concord.celery.close()
    made.concord.celery.redbeat_redis.close()
    made.concord.engine.dispose()


def test_beat_that_sends_is_well(site: Site) -> None:
    site.let(120)

    assert site.look(flow.schedule).ok


def test_lease_held_by_another_key_is_told(site: Site) -> None:
    with site.redis.client() as client:
        client.set(f"{PREFIX}beat::lock", "somebody")

    site.let(beat_patience(site.concord.settings).total_seconds() + 10)

    check = site.look(flow.schedule)
    assert not check.ok
    assert f"{PREFIX}beat::lock" in check.cause


def test_queue_that_takes_no_tasks_is_told(site: Site) -> None:
    """Beat ticks on: its tick alone proves nothing."""
    with site.redis.client() as client:
        client.delete(f"{PREFIX}{step_key(POLL_QUEUE, LEVEL)}")
        client.set(f"{PREFIX}{step_key(POLL_QUEUE, LEVEL)}", "no list")

    site.let(60 + beat_patience(site.concord.settings).total_seconds() + 10)

    tick = site.concord.pulse.last_tick()
    assert tick
    assert site.concord.clock() - tick < timedelta(seconds=10)
    check = site.look(flow.schedule)
    assert not check.ok
    assert "send" in check.detail


def test_schedule_without_the_mailbox_is_told(site: Site) -> None:
    """Beat looks and sends what is due: nothing. Only the polls that do not end give it away."""
    with site.redis.client() as client:
        for key, _ in client.zscan_iter(f"{PREFIX}beat::schedule", match="*poll*"):
            client.zrem(f"{PREFIX}beat::schedule", key)

    site.let(310)

    assert site.look(flow.schedule).ok
    check = site.look(flow.polls)
    assert not check.ok
    assert check.remedy


def test_queue_that_is_deleted_again_and_again_is_told(site: Site) -> None:
    for _ in range(62):
        site.let(5)
        with site.redis.client() as client:
            client.delete(f"{PREFIX}{step_key(POLL_QUEUE, LEVEL)}")

    assert not site.look(flow.polls).ok


def test_no_worker_is_told(site: Site) -> None:
    assert not site.look(flow.workers).ok


@pytest.mark.parametrize("part", [flow.schedule, flow.workers])
def test_redis_that_is_away_is_the_redis_checks_to_tell(site: Site, part: Callable[[Concord], str | Check]) -> None:
    with pausing(site.redis):
        assert site.look(part).ok


def test_without_a_mailbox_silence_is_well(site: Site) -> None:
    site.concord.accounts.remove("sales")
    site.let(600, beat_ticks=False)

    assert all(site.look(part).ok for part in (flow.schedule, flow.workers, flow.polls))


@contextmanager
def pausing(redis: RedisServer) -> Iterator[None]:
    redis.stop()
    try:
        yield
    finally:
        redis.start()
