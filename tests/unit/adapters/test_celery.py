"""Celery's configuration: what the traps ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from celery import Celery, signals
from pydantic import SecretStr

from concord.adapters.celery import (
    ADVANCE_WORKFLOW,
    DELIVER,
    DELIVER_QUEUE,
    MAIL_QUEUE,
    POLL_EMAIL_ACCOUNT,
    POLL_QUEUE,
    PROCESS_EMAIL,
    RECONCILE,
    RECONCILE_ACCOUNT,
    RECORD_NUMBERS,
    RENEW_TOKENS,
    SWEEP,
    SYNC_EMAIL_TASKS,
    make_app,
    visibility_timeout,
)
from concord.adapters.celery_arguments import beat_arguments, flower_arguments, worker_arguments
from concord.adapters.queued_once import SINGLE
from concord.settings import FlowerSettings, PollSettings, ProcessSettings, RedisSettings, Settings
from tests.workers import worker_config

SECRET = "broker-word"


@pytest.fixture
def settings() -> Settings:
    return Settings(
        redis=RedisSettings(url=SecretStr(f"redis://:{SECRET}@127.0.0.1:1/0"), key_prefix="house:"),
        flower=FlowerSettings(password=SecretStr("page-word")),
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    made = make_app(settings)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        (POLL_EMAIL_ACCOUNT, POLL_QUEUE),
        (DELIVER, DELIVER_QUEUE),
        (ADVANCE_WORKFLOW, DELIVER_QUEUE),
        (PROCESS_EMAIL, MAIL_QUEUE),
        (SWEEP, MAIL_QUEUE),
        (RECORD_NUMBERS, MAIL_QUEUE),
        (RECONCILE_ACCOUNT, POLL_QUEUE),
        (RENEW_TOKENS, POLL_QUEUE),
    ],
)
def test_tasks_go_to_their_queue_by_name(app: Celery, task: str, queue: str) -> None:
    assert app.amqp.router.route({}, task)["queue"].name == queue


def test_each_upkeep_is_scheduled_and_waits_once_without_expiry(app: Celery) -> None:
    """U4, O7."""
    entries = {entry["task"]: entry for entry in app.conf.beat_schedule.values()}

    assert set(entries) == {SWEEP, SYNC_EMAIL_TASKS, RECORD_NUMBERS, RECONCILE, RENEW_TOKENS}
    assert entries[RECORD_NUMBERS]["schedule"] == 60
    assert not any("expires" in entry["options"] for entry in entries.values())
    assert set(entries) <= SINGLE


def test_polls_and_deliveries_stand_level(app: Celery) -> None:
    """Neither starves the other on their one queue."""
    routes = app.conf.task_routes

    assert routes[POLL_EMAIL_ACCOUNT]["priority"] == routes[DELIVER]["priority"]


def test_upkeep_goes_before_all_mail(app: Celery) -> None:
    routes = app.conf.task_routes

    assert routes[SWEEP]["priority"] < routes[PROCESS_EMAIL]["priority"]


@pytest.mark.parametrize(
    ("poll", "process"),
    [
        (PollSettings(), ProcessSettings()),
        (PollSettings(budget=3000), ProcessSettings()),
        (PollSettings(), ProcessSettings(soft_time_limit=4000, time_limit=5000)),
    ],
)
def test_visibility_outlasts_two_of_the_longest_tasks(poll: PollSettings, process: ProcessSettings) -> None:
    """P11, trap 25: one waits prefetched behind another."""
    settings = Settings(poll=poll, process=process)

    assert visibility_timeout(settings) > 2 * max(poll.budget, process.time_limit)


def test_every_wait_for_redis_has_an_end(app: Celery) -> None:
    """Trap 22."""
    options = app.conf.broker_transport_options

    assert (options["socket_timeout"], options["socket_connect_timeout"], options["health_check_interval"]) == (
        15,
        5,
        10,
    )
    assert options["max_retries"] == 1
    assert app.conf.redbeat_redis_options["socket_timeout"] == 15


def test_shown_configuration_has_no_password(app: Celery) -> None:
    """A3: `celery inspect conf` and Flower show this table."""
    assert SECRET not in str(app.conf.table(with_defaults=True, censored=True))
    assert SECRET not in app.conf.humanize(with_defaults=True)


def test_no_argument_has_a_password(settings: Settings) -> None:
    """A3: anybody may read the process list."""
    every = [
        word
        for pool in ("poll", "mail", "deliver")
        for word in worker_arguments(settings, worker_config(settings, pool))
    ]
    every += [*beat_arguments(settings), *flower_arguments(settings)]

    assert SECRET not in " ".join(every)
    assert "page-word" not in " ".join(every)


def test_only_the_prefork_worker_is_given_time_limits(settings: Settings) -> None:
    """D3, trap 28: threads have none, and would only seem to. What recycles a child recycles the worker of threads."""
    poll, mail, deliver = (
        " ".join(worker_arguments(settings, worker_config(settings, pool))) for pool in ("poll", "mail", "deliver")
    )

    assert "--max-memory-per-child=400000" in mail
    assert "--max-memory-per-child=1000000" in poll
    assert "--time-limit" not in poll + deliver
    assert "--queues=email-deliver --pool=threads" in deliver
    assert "--without-gossip --without-mingle" in poll
    assert "--without-heartbeat" not in poll + mail


def bound_during(app: Celery, task: str, args: list[Any]) -> dict[str, Any]:
    """What every log line of a run says."""

    @app.task(name=task)  # type: ignore[untyped-decorator]  # celery ships no types
    def run(*_: object) -> None: ...

    signals.task_prerun.send(sender=run, task_id="t1", task=run, args=args, kwargs={})
    try:
        return dict(structlog.contextvars.get_contextvars())
    finally:
        signals.task_postrun.send(
            sender=run, task_id="t1", task=run, args=args, kwargs={}, retval=None, state="SUCCESS"
        )


def test_log_lines_name_task_and_account(app: Celery) -> None:
    """W4."""
    bound = bound_during(app, POLL_EMAIL_ACCOUNT, [7])

    assert bound == {"task_id": "t1", "task": POLL_EMAIL_ACCOUNT, "account_id": 7}
    assert structlog.contextvars.get_contextvars() == {}


def test_long_list_of_messages_is_shortened_in_logs(app: Celery) -> None:
    bound = bound_during(app, PROCESS_EMAIL, [list(range(50))])

    assert bound["message_ids"] == [0, 1, 2, 3, 4, "and 45 more"]
