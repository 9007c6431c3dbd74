"""What a worker without a file of its own runs with."""

from __future__ import annotations

from concord.manager.config import WorkerDocument, resolve
from concord.model.worker import WorkerConfig
from concord.settings import Settings


def worker_config(settings: Settings, instance: str) -> WorkerConfig:
    """As concord.toml says of its type."""
    return resolve(instance, WorkerDocument(), settings.worker, file="none")
