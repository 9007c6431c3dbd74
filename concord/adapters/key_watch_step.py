"""Has every Celery worker report its keys, from its main process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps

from concord.adapters.key_watch import KeyWatch


def connect_key_watch(app: Celery, watch_of: Callable[[str], KeyWatch]) -> None:
    """Begin with the pool, whether or not Redis answers. Other processes than workers are not touched."""

    class Keys(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """One thread."""

        requires = ("celery.worker.components:Pool",)

        def create(self, worker: Any) -> None:
            worker.concord_keys = watch_of(worker.hostname)

        def start(self, worker: Any) -> None:
            worker.concord_keys.begin()

        def stop(self, worker: Any) -> None:
            worker.concord_keys.end()

        terminate = stop

    app.steps["worker"].add(Keys)
