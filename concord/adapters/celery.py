"""Celery as Concord uses it: names, queues, priorities, time limits. Every option that ever hurt is set by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery import Celery

from concord.adapters.background import connect_background
from concord.adapters.celery_log import connect_logging
from concord.adapters.queue_choice import connect_queue_choice, make_queue
from concord.adapters.queued_once import QueuedOnce, connect_queued_once
from concord.adapters.recycling import connect_recycling
from concord.adapters.redis import broker_tls, broker_url, connect, sentinel_options, sentinels, shown_url, timeouts
from concord.adapters.soft_stop import connect_soft_stop
from concord.adapters.task_names import (
    ADVANCE_WORKFLOW,
    BACKFILL_EMAIL_ACCOUNT,
    BEHIND,
    CANARY,
    DELIVER,
    DELIVER_QUEUE,
    LEVEL,
    MAIL_QUEUE,
    POLL_EMAIL_ACCOUNT,
    POLL_QUEUE,
    PRIORITY_STEPS,
    PROCESS_EMAIL,
    QUEUES,
    RECONCILE,
    RECONCILE_ACCOUNT,
    RECORD_NUMBERS,
    RENEW_TOKENS,
    SWEEP,
    SYNC_EMAIL_TASKS,
    TURN_SECONDS,
    URGENT,
)
from concord.adapters.threads import use_threads
from concord.adapters.unacked import use_unacked
from concord.adapters.worker_health import connect_health
from concord.adapters.worker_release import Release, connect_worker_release
from concord.model.number import MINUTE
from concord.settings import Settings

__all__ = [
    "ADVANCE_WORKFLOW",
    "BACKFILL_EMAIL_ACCOUNT",
    "CANARY",
    "DELIVER",
    "DELIVER_QUEUE",
    "MAIL_QUEUE",
    "POLL_EMAIL_ACCOUNT",
    "POLL_QUEUE",
    "PROCESS_EMAIL",
    "RECONCILE",
    "RECONCILE_ACCOUNT",
    "RECORD_NUMBERS",
    "RENEW_TOKENS",
    "SWEEP",
    "SYNC_EMAIL_TASKS",
    "make_app",
]


# An account whose mail could not be counted, or was not all accounted for, is looked at again so soon.
RECONCILE_WITHIN = 300


def local_time() -> datetime:
    """The clock of this host: where there is no database to go by."""
    return datetime.now(UTC)


def make_app(
    settings: Settings,
    *,
    release: Release = lambda _worker: None,
    release_process: Release = lambda _process: None,
    clock: Callable[[], datetime] = local_time,
) -> Celery:
    """The app of one process. Nothing is connected to before it is used.

    A worker calls `release` at its start, to free what its last life held, and `release_process` for what a process of
    its pool held that died. Beat and the workers' pulses go by `clock`.
    """
    app = Celery("concord")
    app.seconds = lambda: clock().timestamp()
    app.conf.update(
        **_broker(settings),
        **_tasks(settings),
        **_worker(settings),
        **_beat(settings),
    )
    # RedBeat would open a connection for each entry under Sentinel; it uses this one when it finds it.
    app.redbeat_redis = connect(settings.redis)
    app.queued_once = QueuedOnce(app.redbeat_redis, settings)  # Beat's
    connect_logging(settings.log)
    connect_recycling(app)
    connect_queue_choice()
    connect_background()
    connect_queued_once(settings)
    use_threads()
    use_unacked()
    connect_soft_stop(app, settings.worker.soft_shutdown_timeout)
    connect_worker_release(app, release, release_process)
    connect_health(app, settings, longest_task=visibility_timeout(settings))
    return app


def visibility_timeout(settings: Settings) -> int:
    """After how many seconds Redis hands out an unacknowledged message again.

    A message may wait behind those prefetched with it before it runs, and each may take as long as a task may: its hard
    limit, a poll's budget, or a turn of deliveries whose last one is slow. Sooner would run tasks twice, in a loop.
    """
    turn = settings.dispatch.handler_time_limit + TURN_SECONDS
    longest = max(settings.process.time_limit, settings.poll.budget, turn)
    pools = settings.worker
    prefetched = max(pools.poll.prefetch, pools.mail.prefetch, pools.deliver.prefetch)
    return longest * (prefetched + 1) + 60


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": broker_url(settings.redis),
        "broker_use_ssl": broker_tls(settings.redis),
        "broker_transport_options": _transport(settings),
        "broker_connection_timeout": settings.redis.connect_timeout,
        # 0 would mean "for ever" to no one but the reader: None does.
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        # What Redis refuses because it is full ends no worker: it connects again, and goes on once there is room.
        "broker_channel_error_retry": True,
        "broker_pool_limit": 10,
        "broker_pool_acquire_timeout": settings.redis.socket_timeout,
        # Nobody waits for a result: the ledger knows what was done, and Flower listens to events.
        "result_backend": None,
        "result_expires": None,
    }


def _transport(settings: Settings) -> dict[str, Any]:
    options = {
        **timeouts(settings.redis),
        "socket_keepalive": True,
        # A publish that timed out may have arrived; whether to send it again is for the sweep to say.
        "retry_on_timeout": False,
        "global_keyprefix": settings.redis.key_prefix,
        "visibility_timeout": visibility_timeout(settings),
        "priority_steps": list(PRIORITY_STEPS),
        "queue_order_strategy": "priority",
        # Look for abandoned messages every 10 s, not every 100.
        "unacked_restore_throttle": 1,
        # How often and how long a publisher tries to connect. Unset, it tries for ever.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.2,
        "connect_retries_timeout": settings.redis.connect_timeout,
    }
    if sentinels(settings.redis):
        options["master_name"] = settings.redis.sentinel_service
        options["sentinel_kwargs"] = sentinel_options(settings.redis)
    return options


def _tasks(settings: Settings) -> dict[str, Any]:
    return {
        "enable_utc": True,
        "timezone": "UTC",
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "task_queues": [make_queue(name) for name in QUEUES],
        "task_default_queue": MAIL_QUEUE,
        "task_default_exchange": MAIL_QUEUE,
        "task_default_routing_key": MAIL_QUEUE,
        # Without it, a task sent by hand would have priority 0, the highest.
        "task_default_priority": LEVEL,
        "task_create_missing_queues": True,
        "task_routes": _routes(),
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_publish_retry": False,
        "task_send_sent_event": False,
        "task_acks_late": True,
        # A task that failed, or was killed at its limit, has said so in the ledger; the sweep brings it back.
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        # A child that was killed hands its message back at once; leases and counted attempts stop a loop. The 5.7
        # alternative (retry_on_worker_lost) would hold it as an ETA for three minutes.
        "task_reject_on_worker_lost": True,
        "task_retry_on_worker_lost": False,
        "task_soft_time_limit": settings.process.soft_time_limit,
        "task_time_limit": settings.process.time_limit,
    }


def _routes() -> dict[str, dict[str, Any]]:
    waits = {"queue": POLL_QUEUE, "priority": LEVEL}
    delivers = {"queue": DELIVER_QUEUE, "priority": LEVEL}
    works = {"queue": MAIL_QUEUE, "priority": LEVEL}
    upkeep = {"queue": MAIL_QUEUE, "priority": URGENT}
    return {
        POLL_EMAIL_ACCOUNT: waits,
        DELIVER: delivers,
        ADVANCE_WORKFLOW: delivers,
        PROCESS_EMAIL: works,
        BACKFILL_EMAIL_ACCOUNT: waits | {"priority": BEHIND},
        RECONCILE_ACCOUNT: waits | {"priority": BEHIND},
        SWEEP: upkeep,
        RECORD_NUMBERS: upkeep,
        RECONCILE: upkeep,
        SYNC_EMAIL_TASKS: upkeep,
        RENEW_TOKENS: waits | {"priority": URGENT},
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        "worker_prefetch_multiplier": settings.worker.mail.prefetch,
        "worker_soft_shutdown_timeout": settings.worker.soft_shutdown_timeout,
        "worker_enable_soft_shutdown_on_idle": False,
        # Redis gives nothing back when a connection is lost; work under way is better finished than begun again.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "event_queue_expires": 60,
        "event_queue_ttl": 5,
        "control_queue_expires": 60,
        "control_queue_ttl": 60,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    prefix = f"{settings.redis.key_prefix}beat:"
    return {
        "beat_scheduler": "concord.adapters.redbeat:ConcordScheduler",
        "beat_max_loop_interval": settings.beat.max_loop_interval,
        "beat_schedule": {
            "sweep": _every(settings.upkeep.sweep_interval, SWEEP),
            "sync-email-tasks": _every(settings.upkeep.sync_interval, SYNC_EMAIL_TASKS),
            "record-numbers": _every(MINUTE, RECORD_NUMBERS),
            "reconcile": _every(min(settings.upkeep.reconcile_interval, RECONCILE_WITHIN), RECONCILE),
            "renew-tokens": _every(MINUTE, RENEW_TOKENS, POLL_QUEUE),
        },
        # Without the password: `celery inspect conf` and Flower show this one as it stands. The client itself is
        # handed over in make_app.
        "redbeat_redis_url": shown_url(settings.redis),
        "redbeat_redis_options": timeouts(settings.redis),
        "redbeat_redis_use_ssl": None,
        "redbeat_key_prefix": prefix,
        "redbeat_lock_key": f"{prefix}:lock",
        "redbeat_lock_timeout": settings.beat.lock_timeout,
    }


def _every(seconds: int, task: str, queue: str = MAIL_QUEUE) -> dict[str, Any]:
    return {
        "task": task,
        "args": [],
        "schedule": float(seconds),
        # One waits at most (`queued_once`): no expiry, which would hang on two hosts' clocks.
        "options": {"queue": queue, "priority": URGENT},
    }
