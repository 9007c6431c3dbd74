"""A worker that starts releases what its last life held, as soon as the database answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, signals

from concord.adapters.worker_identity import begin_worker, current_worker
from concord.model.worker import Incarnation

log = structlog.get_logger(__name__)

# Between two tries to release what the last life held, in seconds.
_AGAIN: Final = 10.0

Release = Callable[[Incarnation], object]


class Releasing:
    """Releases what the last life of a worker held; tries again until the database answers."""

    def __init__(self, release: Release, *, again: float = _AGAIN) -> None:
        self._release = release
        self._again = again
        self._over = threading.Event()

    def start(self) -> None:
        """Once the pool is up: a process that is forked must not inherit a query under way."""
        threading.Thread(target=self._run, name="release", daemon=True).start()

    def stop(self) -> None:
        """The worker ends."""
        self._over.set()

    def _run(self) -> None:
        worker = current_worker()
        while worker and not self._over.is_set():
            try:
                self._release(worker)
            except Exception as error:  # noqa: BLE001 - leases lapse anyway; a worker must not fail for it
                log.warning("worker.release_postponed", node=worker.node, error=error)
                self._over.wait(self._again)
            else:
                return


def connect_worker_release(app: Celery, release: Release) -> None:
    """Have every worker of this app know which one it is, and release what its last life held."""

    class Released(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Begins when the pool stands."""

        requires = ("celery.worker.components:Pool",)

        def create(self, worker: Any) -> None:
            worker.concord_releasing = Releasing(release)

        def start(self, worker: Any) -> None:
            worker.concord_releasing.start()

        def stop(self, worker: Any) -> None:
            worker.concord_releasing.stop()

        terminate = stop

    app.steps["worker"].add(Released)
    uid = "concord.worker_identity"
    signals.celeryd_after_setup.disconnect(dispatch_uid=uid)
    signals.celeryd_after_setup.connect(_begin, weak=False, dispatch_uid=uid)


def _begin(sender: str, **_: object) -> None:
    begin_worker(sender)
