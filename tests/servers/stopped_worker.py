"""`concord worker run NAME` that gets a signal at one point of its start: `stopped_worker.py POINT SIGNAL NAME`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any, Final

# Each point is a function that the start calls; the signal comes right before it. In the order of a start.
POINTS: Final = {
    "typed": "concord.cli.daemon:_become_daemon",
    "checked": "concord.cli.daemon:_become",
    "initialised": "celery.apps.worker:Worker.on_init_blueprint",
    "set up": "celery.apps.worker:Worker.install_platform_tweaks",
    "pool begins": "celery.worker.components:Pool.create",
    "pool starts": "celery.concurrency.base:BasePool.start",
    "consumer starts": "celery.worker.consumer.consumer:Consumer.start",
    "connecting": "celery.worker.consumer.connection:Connection.start",
    "reading": "celery.worker.consumer.tasks:Tasks.start",
    "ready": "celery.apps.worker:Worker.on_consumer_ready",
}


def _signal_before(point: str, number: int) -> None:
    module, _, path = POINTS[point].partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for step in owners:
        owner = getattr(owner, step)
    original = getattr(owner, name)

    def signalled(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return original(*args, **options)

    setattr(owner, name, signalled)


if __name__ == "__main__":
    from concord.cli import main

    point, number, instance = sys.argv[1:]
    sys.argv[:] = ["concord", "worker", "run", instance]
    _signal_before(point, signal.Signals[number])
    main()
