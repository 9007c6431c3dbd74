"""Redis behind Sentinel: one address, and the master that answers now."""

from __future__ import annotations

import contextlib
import time

from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.queue import CeleryQueue
from concord.adapters.redbeat import ConcordScheduler, RedBeatSchedule
from concord.errors import QueueDownError
from concord.ports import ScheduledPoll
from concord.settings import RedisSettings, Settings
from tests.servers.sentinel import SentinelSet
from tests.waiting import eventually


def test_queue_and_schedule_follow_a_failover(sentinel: SentinelSet) -> None:
    """O3, traps 37 and 42."""
    settings = Settings(redis=RedisSettings(url=SecretStr(sentinel.url), socket_timeout=1, connect_timeout=1))
    app = make_app(settings)
    queue, schedule, scheduler = CeleryQueue(app, settings), RedBeatSchedule(app), ConcordScheduler(app)
    schedule.replace([ScheduledPoll(account_id=1, interval=60)])
    scheduler.tick()
    queue.poll(1)

    sentinel.master.freeze()

    def polled() -> bool:
        with contextlib.suppress(QueueDownError):
            queue.poll(2)
            return True
        return False

    assert eventually(lambda: sentinel.leader() == sentinel.replica.port, within=60)
    assert eventually(polled, within=30)
    failed_over = time.time()

    def ticked() -> bool:
        scheduler.tick()
        with sentinel.replica.client() as client:
            return float(client.get("concord:beat:tick") or 0) > failed_over

    assert eventually(ticked, within=30)
    assert schedule.replace([ScheduledPoll(account_id=1, interval=60)]).total == 1
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    app.close()
    app.redbeat_redis.close()
