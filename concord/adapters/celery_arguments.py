"""The command lines of the daemons, without a secret on any of them."""

from __future__ import annotations

from typing import Final

from concord.adapters.task_names import DELIVER_QUEUE, MAIL_QUEUE, POLL_QUEUE
from concord.model.worker import WorkerConfig, WorkerType
from concord.settings import Settings

_QUEUES: Final = {
    WorkerType.POLL: POLL_QUEUE,
    WorkerType.MAIL: MAIL_QUEUE,
    WorkerType.DELIVER: DELIVER_QUEUE,
}


def worker_arguments(settings: Settings, config: WorkerConfig) -> list[str]:
    """What follows `celery -A concord.celery_app` to start a worker. Celery ignores a child's limits for threads."""
    waits = config.type.waits
    common = [
        "worker",
        f"--queues={_QUEUES[config.type]}",
        f"--pool={'threads' if waits else 'prefork'}",
        f"--concurrency={config.concurrency}",
        f"--prefetch-multiplier={config.prefetch}",
        f"--max-tasks-per-child={config.max_tasks_per_child}",
        f"--max-memory-per-child={config.max_memory_per_child}",
        f"--hostname={config.instance}@%h",
        f"--loglevel={settings.log.level.upper()}",
        "--without-gossip",
        "--without-mingle",
        "--task-events",
    ]
    if waits:
        return common  # threads have no time limits; time-outs, the poll's budget and the handlers' limit stand in
    return [
        *common,
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
