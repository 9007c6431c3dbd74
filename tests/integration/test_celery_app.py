"""Beat and workers as real processes on a real Redis, and what they say about secrets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.celery_arguments import worker_arguments
from concord.adapters.queue import CeleryQueue
from concord.adapters.task_names import LEVEL, POLL_QUEUE, step_key
from concord.model.account import Priority
from concord.model.delivery import OutboxRef
from concord.model.message import MessageRef
from concord.settings import ProcessPoolSettings, RedisSettings, Settings, WorkerSettings
from tests.servers.daemon import Daemon
from tests.servers.redis import RedisServer
from tests.waiting import eventually
from tests.workers import worker_config

RAN, PIDS, HOLD = "probe:ran", "probe:pids", "probe:hold"
PASSWORD = "a-broker-word"
BEAT_QUICKLY = {"CONCORD_BEAT__MAX_LOOP_INTERVAL": "1", "CONCORD_BEAT__LOCK_TIMEOUT": "3"}
BY_HAND = ["worker", "-Q", "email-poll,email", "-c", "1", "--loglevel=INFO"]


def settings_for(server: RedisServer) -> Settings:
    return Settings(
        redis=RedisSettings(url=SecretStr(server.url)), worker=WorkerSettings(mail=ProcessPoolSettings(concurrency=1))
    )


def arguments_of(pool: str, server: RedisServer) -> list[str]:
    settings = settings_for(server)
    return worker_arguments(settings, worker_config(settings, pool))


@pytest.fixture
def guarded_redis() -> Iterator[RedisServer]:
    """A server with a password, of this test's own."""
    with RedisServer(password=PASSWORD) as server:
        yield server


@pytest.fixture
def app(guarded_redis: RedisServer) -> Iterator[Celery]:
    made = make_app(settings_for(guarded_redis))
    yield made
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    made.close()
    made.redbeat_redis.close()


@pytest.fixture
def queue(app: Celery, guarded_redis: RedisServer) -> CeleryQueue:
    return CeleryQueue(app, settings_for(guarded_redis))


def ran(server: RedisServer, kind: str = "") -> list[str]:
    """What the probe's tasks wrote down, in order, without the time."""
    with server.client() as client:
        lines = client.lrange(RAN, 0, -1)
    return [line.rpartition(" ")[0] for line in lines if line.startswith(kind)]


def marks(server: RedisServer) -> list[str]:
    """The polls that are taken for waiting."""
    with server.client() as client:
        return list(client.zrange(f"concord:once:{POLL_QUEUE}:{LEVEL}", 0, -1))


def refs(priority: Priority, *ids: int) -> list[MessageRef]:
    return [MessageRef(id=number, priority=priority, size=10_000_000) for number in ids]  # big: each alone


def hold(server: RedisServer) -> None:
    with server.client() as client:
        client.set(HOLD, "1")


def let_go(server: RedisServer) -> None:
    with server.client() as client:
        client.delete(HOLD)


def in_hand(server: RedisServer) -> list[int]:
    """Process ids of the children that began a held task."""
    with server.client() as client:
        return [int(pid) for pid in client.lrange(PIDS, 0, -1)]


def test_urgent_message_is_the_next_of_a_thousand(
    guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path
) -> None:
    """P10: after the one under way; the worker holds none in reserve."""
    hold(guarded_redis)
    queue.process(refs(Priority.NORMAL, *range(1000)))
    with Daemon(arguments_of("mail", guarded_redis), guarded_redis, tmp_path) as worker:
        assert eventually(lambda: in_hand(guarded_redis)), worker.log
        queue.process(refs(Priority.HIGH, 9999))
        let_go(guarded_redis)
        assert eventually(lambda: len(ran(guarded_redis)) > 3), worker.log

    assert ran(guarded_redis)[1] == "process 9999"


def test_urgent_delivery_is_the_next_of_a_thousand(
    guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path
) -> None:
    """P10: a high mail's event stood at place 1,001."""
    hold(guarded_redis)
    waiting = [OutboxRef(id=number, lane="inbox", account="office", priority=Priority.NORMAL) for number in range(1000)]
    queue.deliver(waiting)
    with Daemon([*arguments_of("deliver", guarded_redis), "-c", "1"], guarded_redis, tmp_path) as worker:
        assert eventually(lambda: in_hand(guarded_redis)), worker.log
        queue.deliver([OutboxRef(id=9999, lane="inbox", account="office", priority=Priority.HIGH)])
        let_go(guarded_redis)
        assert eventually(lambda: len(ran(guarded_redis)) > 3), worker.log

    assert ran(guarded_redis)[1] == "deliver 9999"


def test_worker_by_hand_serves_both_queues(guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    """W8."""
    queue.poll(1)
    queue.deliver([OutboxRef(id=2, lane="inbox", account="office")])
    queue.process(refs(Priority.LOW, 3))

    with Daemon(BY_HAND, guarded_redis, tmp_path) as worker:
        assert eventually(lambda: len(ran(guarded_redis)) == 3), worker.log

    assert sorted(ran(guarded_redis)) == ["deliver 2", "poll 1", "process 3"]


def test_worker_by_hand_serves_the_deliveries_too(
    guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path
) -> None:
    """W8: the command that people have in scripts, from before deliveries had a queue of their own."""
    with Daemon(BY_HAND, guarded_redis, tmp_path) as worker:
        queue.deliver([OutboxRef(id=2, lane="inbox", account="office")])
        assert eventually(lambda: ran(guarded_redis)), worker.log

    assert ran(guarded_redis) == ["deliver 2"]
    assert "worker.queue_added" in worker.log


def test_deliveries_that_an_older_version_queued_are_delivered(
    app: Celery, guarded_redis: RedisServer, tmp_path: Path
) -> None:
    """During an upgrade: they lie among the polls."""
    app.send_task("concord.deliver", [[2]], queue=POLL_QUEUE)

    with Daemon(arguments_of("poll", guarded_redis), guarded_redis, tmp_path) as worker:
        assert eventually(lambda: ran(guarded_redis)), worker.log

    assert ran(guarded_redis) == ["deliver 2"]


def test_worker_whose_clock_is_ahead_polls_what_waits(
    app: Celery, queue: CeleryQueue, guarded_redis: RedisServer, tmp_path: Path
) -> None:
    """P1: a late poll is still a poll, and no clock but one measures it."""
    queue.poll(1)
    with guarded_redis.client() as client:
        (message,) = client.lrange("concord:" + step_key(POLL_QUEUE, LEVEL), 0, -1)

    with Daemon(BY_HAND, guarded_redis, tmp_path) as worker:
        assert eventually(lambda: "poll 1" in ran(guarded_redis)), worker.log

    assert json.loads(message)["headers"]["expires"] is None


def test_worker_that_begins_a_poll_lets_the_next_one_wait(
    queue: CeleryQueue, guarded_redis: RedisServer, tmp_path: Path
) -> None:
    """P1: one waits while one runs, and no third."""
    hold(guarded_redis)
    queue.poll(1)
    with Daemon([*arguments_of("poll", guarded_redis), "-c", "1"], guarded_redis, tmp_path) as worker:
        assert eventually(lambda: queue.depth()[POLL_QUEUE] == 0 and queue.depth()["unacked"] == 1), worker.log
        assert eventually(lambda: not marks(guarded_redis)), worker.log
        for _ in range(3):
            queue.poll(1)
        let_go(guarded_redis)
        assert eventually(lambda: len(ran(guarded_redis)) == 2 and not marks(guarded_redis)), worker.log
        queue.poll(1)
        assert eventually(lambda: len(ran(guarded_redis)) == 3), worker.log


def test_task_of_a_killed_child_is_run_again(guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    """P5: late acknowledgement."""
    hold(guarded_redis)
    queue.process(refs(Priority.NORMAL, 5))
    with Daemon(arguments_of("mail", guarded_redis), guarded_redis, tmp_path) as worker:
        assert eventually(lambda: in_hand(guarded_redis)), worker.log
        os.kill(in_hand(guarded_redis)[0], signal.SIGKILL)
        assert eventually(lambda: len(in_hand(guarded_redis)) == 2), worker.log
        let_go(guarded_redis)
        assert eventually(lambda: ran(guarded_redis)), worker.log

    assert ran(guarded_redis) == ["process 5"]


@pytest.mark.parametrize("pool", ["poll", "mail"])
def test_worker_goes_on_after_a_redis_restart(
    guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path, pool: str
) -> None:
    """O6, traps 22, 23 and 35."""
    arguments = arguments_of(pool, guarded_redis)

    def put(number: int) -> None:
        queue.poll(number) if pool == "poll" else queue.process(refs(Priority.NORMAL, number))

    with Daemon(arguments, guarded_redis, tmp_path) as worker:
        put(1)
        assert eventually(lambda: ran(guarded_redis)), worker.log
        guarded_redis.stop()
        assert eventually(lambda: "Connection refused" in worker.log), worker.log
        guarded_redis.start()
        put(2)
        assert eventually(lambda: ran(guarded_redis), within=40), worker.log


def test_flush_under_a_running_beat_is_repaired(guarded_redis: RedisServer, tmp_path: Path) -> None:
    """P5: the polls fire again within a loop and a lease."""
    with (
        Daemon(["beat", "--loglevel=INFO"], guarded_redis, tmp_path, BEAT_QUICKLY) as beat,
        Daemon(BY_HAND, guarded_redis, tmp_path) as worker,
    ):
        assert eventually(lambda: ran(guarded_redis, "poll 7")), beat.log + worker.log

        guarded_redis.flushall()

        assert eventually(lambda: ran(guarded_redis, "poll 7"), within=10), beat.log + worker.log
        assert beat.alive


def test_beat_outlives_a_redis_outage(guarded_redis: RedisServer, tmp_path: Path) -> None:
    """O6: also one that lasts longer than the lease."""
    with (
        Daemon(["beat", "--loglevel=INFO"], guarded_redis, tmp_path, BEAT_QUICKLY) as beat,
        Daemon(BY_HAND, guarded_redis, tmp_path) as worker,
    ):
        assert eventually(lambda: ran(guarded_redis, "poll 7")), beat.log + worker.log
        guarded_redis.stop()
        assert eventually(lambda: "beat.redis_down" in beat.log), beat.log

        guarded_redis.start()

        assert eventually(lambda: ran(guarded_redis, "poll 7"), within=40), beat.log + worker.log
        assert beat.alive


def test_beat_started_before_redis_waits_for_it(guarded_redis: RedisServer, tmp_path: Path) -> None:
    """O6."""
    guarded_redis.stop()
    with Daemon(["beat", "--loglevel=INFO"], guarded_redis, tmp_path, BEAT_QUICKLY) as beat:
        assert eventually(lambda: "beat.redis_down" in beat.log), beat.log
        assert beat.alive

        guarded_redis.start()

        assert eventually(lambda: "beat.leading" in beat.log), beat.log


def test_stopped_beat_gives_its_lease_back(guarded_redis: RedisServer, tmp_path: Path) -> None:
    with Daemon(["beat", "--loglevel=INFO"], guarded_redis, tmp_path) as beat:
        assert eventually(lambda: "beat.leading" in beat.log), beat.log
        os.kill(beat.pid, signal.SIGTERM)
        assert eventually(lambda: not beat.alive), beat.log

    with guarded_redis.client() as client:
        assert client.exists("concord:beat::lock") == 0


def test_broker_password_is_in_no_log_and_no_process_list(
    app: Celery, guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path
) -> None:
    """A3."""
    with (
        Daemon(["beat", "--loglevel=DEBUG"], guarded_redis, tmp_path, BEAT_QUICKLY) as beat,
        Daemon(["worker", "-c", "1", "--loglevel=DEBUG"], guarded_redis, tmp_path) as worker,
    ):
        assert eventually(lambda: ran(guarded_redis, "poll 7")), beat.log + worker.log
        shown = str(app.control.inspect(timeout=5).conf(with_defaults=True))
        family = [daemon for each in (beat, worker) for daemon in psutil.Process(each.pid).children(recursive=True)]
        family += [psutil.Process(each.pid) for each in (beat, worker)]
        listed = " ".join(" ".join([*process.cmdline(), *process.environ().values()]) for process in family)

    assert "concord" in shown
    assert PASSWORD not in shown
    assert PASSWORD not in listed
    assert PASSWORD not in beat.log + worker.log


def test_log_lines_of_a_task_are_json_with_its_account(
    guarded_redis: RedisServer, queue: CeleryQueue, tmp_path: Path
) -> None:
    """W4."""
    queue.poll(42)
    with Daemon(BY_HAND, guarded_redis, tmp_path) as worker:
        assert eventually(lambda: "succeeded" in worker.log), worker.log

    line = next(line for line in worker.log.splitlines() if "succeeded" in line)
    assert line.startswith("{")
    assert '"account_id": 42' in line
    assert '"task": "concord.poll_email_account"' in line
