"""A worker releases what its last life held, and what its pool's dead processes held, once the database answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import structlog
from billiard.process import current_process
from celery import Celery, bootsteps, signals
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool

from concord.adapters.worker_identity import begin_pool_process, begin_worker, current_worker
from concord.model.worker import Incarnation

log = structlog.get_logger(__name__)

# Between two tries to release what the last life held, in seconds.
_AGAIN: Final = 10.0
# The pool forks the successor of a dead process at once, and nothing should be asked of the database meanwhile.
_FORKED: Final = 1.0

Release = Callable[[Incarnation], object]


class Releasing:
    """Releases what dead processes of a worker held; tries again until the database answers."""

    def __init__(
        self, release: Release, release_process: Release = lambda _process: None, *, again: float = _AGAIN
    ) -> None:
        self._release = release
        self._release_process = release_process
        self._again = again
        self._over = threading.Event()
        self._died: SimpleQueue[str | None] = SimpleQueue()

    def start(self) -> None:
        """Once the pool is up: a process that is forked must not inherit a query under way."""
        threading.Thread(target=self._run, name="release", daemon=True).start()

    def stop(self) -> None:
        """The worker ends."""
        self._over.set()
        self._died.put(None)

    def bury(self, name: str) -> None:
        """Release what this process of the pool held. Returns at once."""
        self._died.put(name)

    def _run(self) -> None:
        worker = current_worker()
        if worker is None:
            return
        self._insist(worker, partial(self._release, worker))
        while name := self._died.get():
            self._over.wait(_FORKED)
            self._insist(worker, partial(self._release_process, worker.make_process(name)))

    def _insist(self, worker: Incarnation, release: Callable[[], object]) -> None:
        while not self._over.is_set():
            try:
                release()
            except Exception as error:  # noqa: BLE001 - leases lapse anyway; a worker must not fail for it
                log.warning("worker.release_postponed", node=worker.node, error=error)
                self._over.wait(self._again)
            else:
                return


class WatchedPool(AsynPool):  # type: ignore[misc]  # celery ships no types
    """Celery's pool of processes, which says which of them have died."""

    on_death: Callable[[str], object] = staticmethod(lambda _name: None)

    def _join_exited_workers(self, *args: Any, **options: Any) -> Any:
        before = {process.name for process in self._pool}
        exit_codes = super()._join_exited_workers(*args, **options)
        for name in sorted(before - {process.name for process in self._pool}):
            self.on_death(name)
        return exit_codes


def connect_worker_release(app: Celery, release: Release, release_process: Release) -> None:
    """Have every worker of this app know which one it is, and release what its dead processes held."""
    TaskPool.Pool = WatchedPool

    class Released(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Begins when the pool stands."""

        requires = ("celery.worker.components:Pool",)

        def create(self, worker: Any) -> None:
            worker.concord_releasing = Releasing(release, release_process)

        def start(self, worker: Any) -> None:
            WatchedPool.on_death = worker.concord_releasing.bury
            worker.concord_releasing.start()

        def stop(self, worker: Any) -> None:
            worker.concord_releasing.stop()

        terminate = stop

    app.steps["worker"].add(Released)
    for signal, receiver in ((signals.celeryd_after_setup, _begin), (signals.worker_process_init, _begin_process)):
        uid = f"concord.worker_identity.{receiver.__name__}"
        signal.disconnect(dispatch_uid=uid)
        signal.connect(receiver, weak=False, dispatch_uid=uid)


def _begin(sender: str, **_: object) -> None:
    begin_worker(sender)


def _begin_process(**_: object) -> None:
    begin_pool_process(current_process().name)
