"""The command lines of the daemons, without a secret on any of them."""

from __future__ import annotations

from typing import Literal

from concord.adapters.task_names import MAIL_QUEUE, POLL_QUEUE
from concord.settings import Settings


def worker_arguments(settings: Settings, pool: Literal["poll", "mail"]) -> list[str]:
    """What follows `celery -A concord.celery_app` to start one of the two workers."""
    mail = settings.worker.mail
    chosen = settings.worker.poll if pool == "poll" else mail
    common = [
        "worker",
        f"--queues={POLL_QUEUE if pool == 'poll' else MAIL_QUEUE}",
        f"--pool={'threads' if pool == 'poll' else 'prefork'}",
        f"--concurrency={chosen.concurrency}",
        f"--prefetch-multiplier={chosen.prefetch}",
        f"--hostname={pool}@%h",
        f"--loglevel={settings.log.level.upper()}",
        "--without-gossip",
        "--without-mingle",
        "--task-events",
    ]
    if pool == "poll":
        return common  # threads have no limits and no recycling; time-outs and the poll's budget stand in
    return [
        *common,
        f"--max-tasks-per-child={mail.max_tasks_per_child}",
        f"--max-memory-per-child={mail.max_memory_per_child}",
        f"--soft-time-limit={settings.process.soft_time_limit}",
        f"--time-limit={settings.process.time_limit}",
    ]


def beat_arguments(settings: Settings) -> list[str]:
    """What follows `celery -A concord.celery_app` to start the scheduler."""
    return ["beat", f"--loglevel={settings.log.level.upper()}"]


def flower_arguments(settings: Settings) -> list[str]:
    """What follows `celery -A concord.celery_app` to start Flower; its login comes from `flower.prepare`."""
    return [
        "flower",
        f"--address={settings.flower.address}",
        f"--port={settings.flower.port}",
        f"--max_tasks={settings.flower.max_tasks}",
    ]
