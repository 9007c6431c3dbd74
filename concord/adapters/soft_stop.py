"""SIGQUIT ends a worker softly: it takes no more tasks, and those in its hands have `worker.soft_shutdown_timeout`.

Celery does all of that inside the signal's handler. There the loop stands still, so that what the pool has done is not
noticed, the whole time is waited for and finished tasks go back to the queue; and whatever lock the handler finds taken
is never freed. Here the handler only wakes the loop. Celery's own way is taken for what is left when time is up, where
the loop does not run any more, and at a second SIGQUIT. A worker whose loop has never run has nothing in hand: it ends
as by SIGTERM, once its start comes to an end.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, signals
from celery.platforms import EX_OK
from celery.worker import state

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 0.1
# A loop that has not ended the worker so long after its time does not run. The manager's patience ends 30 s after it.
_GRACE: Final = 10.0


class SoftStop:
    """One worker's. All but the handler and `_watch` runs in the worker's loop."""

    def __init__(self, app: Celery, patience: float) -> None:
        self._app = app
        self._patience = patience
        self._pid = os.getpid()
        self._consumer: Any = None
        self._has_read = False
        self._celerys: Any = None
        self._told_at: float | None = None
        self._ending = False
        self._told_read, self._told_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()

    def install(self) -> None:
        """Take the place of Celery's handler, in the main thread."""
        self._celerys = signal.signal(signal.SIGQUIT, self._handle)
        threading.Thread(target=self._watch, name="soft-stop", daemon=True).start()

    def connected(self, consumer: Any) -> None:
        """Its loop begins, or begins anew."""
        self._consumer, self._has_read = consumer, True
        consumer.hub.add_reader(self._wake_read, self._wake)
        if self._ending:
            consumer.task_consumer.cancel()

    def disconnected(self) -> None:
        """The loop has ended."""
        self._consumer = None

    def _handle(self, number: int, frame: Any) -> None:
        """May interrupt anything, so it takes no lock and says nothing."""
        if os.getpid() != self._pid:
            self._celerys(number, frame)  # a pool's process has inherited this
            return
        if self._told_at is None:
            self._told_at = time.monotonic()
            if self._consumer is not None:
                os.write(self._told_write, b"!")
                return
            if not self._has_read:
                state.should_stop = EX_OK
                return
        self._celerys_way(number, frame)

    def _celerys_way(self, number: int = signal.SIGQUIT, frame: Any = None) -> None:
        self._app.conf.worker_soft_shutdown_timeout = self._left()
        self._celerys(number, frame)

    def _left(self) -> float:
        """How long running tasks still have, in seconds."""
        return max(self._patience - (time.monotonic() - self._told_at), 0.0) if self._told_at else self._patience

    def _watch(self) -> None:
        """Wake the loop; see that it does something about it."""
        os.read(self._told_read, 1)
        os.write(self._wake_write, b"!")
        began = time.monotonic()
        while time.monotonic() - began < self._patience + _GRACE:
            time.sleep(_LOOK_SECONDS)
            if self._consumer is None and not _is_ending():
                break  # it lost Redis, and may try for ever
        os.kill(self._pid, signal.SIGQUIT)

    def _wake(self, *_: object) -> None:
        hub = self._consumer.hub
        hub.remove_reader(self._wake_read)
        self._ending = True
        running = len(state.reserved_requests)
        log.info("worker.stopping", running=running, patience=self._patience)
        arguments = {"sig": "SIGQUIT", "how": "Soft", "exitcode": EX_OK}
        signals.worker_shutting_down.send(sender=self._consumer.hostname, **arguments)
        hub.call_repeatedly(_LOOK_SECONDS, self._look)
        self._consumer.task_consumer.cancel()

    def _look(self) -> None:
        if _is_ending():
            return
        running = len(state.reserved_requests)
        if not running:
            state.should_stop = EX_OK
        elif not self._left():
            log.warning("worker.gave_up", running=running, remedy="Nothing to do: they are in the queue again")
            self._celerys_way()


def _is_ending() -> bool:
    return state.should_stop is not None or state.should_terminate is not None


def connect_soft_stop(app: Celery, patience: float) -> None:
    """Have every worker of this app end softly at SIGQUIT; `patience` in seconds."""

    def install_with_celerys(instance: Any, **_: object) -> None:
        instance.concord_soft_stop = SoftStop(app, patience)
        install = instance.install_platform_tweaks

        def install_both(worker: Any) -> None:
            install(worker)
            instance.concord_soft_stop.install()

        instance.install_platform_tweaks = install_both

    class Loop(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Knows the loop: there is a new consumer in it with every connection."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            consumer.controller.concord_soft_stop.connected(consumer)

        def stop(self, consumer: Any) -> None:
            consumer.controller.concord_soft_stop.disconnected()

        shutdown = stop

    uid = "concord.soft_stop"
    signals.celeryd_init.disconnect(dispatch_uid=uid)
    signals.celeryd_init.connect(install_with_celerys, weak=False, dispatch_uid=uid)
    app.steps["consumer"].add(Loop)
