"""A worker proves that it works: it sends itself a canary, a task that does nothing but come back (spec D1).

The canary goes through everything a mail's task goes through: Redis, the worker's own connection, its loop, its pool.
Where `worker_hearing` finds that it should have come back, the pings to the service manager stop, and the worker is
replaced. All this is done by one thread of the main process, which also writes the worker's pulse and ends a worker of
threads that has done enough.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Final

import redis
import structlog
from celery import Celery, bootsteps, signals
from celery.concurrency.thread import TaskPool
from celery.worker import state
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from concord.adapters import notify
from concord.adapters.processes import resident
from concord.adapters.pulse import CANARY_SECONDS, canary_queue_name, limits_told, write_pulse
from concord.adapters.redis import connect
from concord.adapters.task_names import CANARY, URGENT
from concord.adapters.worker_hearing import Ailment, Hearing, Load
from concord.model.worker import WorkerLimits
from concord.settings import Settings

log = structlog.get_logger(__name__)

# After so long without its worker kombu lets the queue go; nobody else would ever take what lies in it.
QUEUE_SECONDS: Final = 300
_REPLACED: Final = "Nothing to do: it is replaced, and the stacks of its threads follow in this log"
_RESTART: Final = "Restart it; under systemd or supervisord that would happen by itself"
_EVENTS: Final = {
    Ailment.DEAF: "worker.deaf",
    Ailment.LOST: "worker.lost",
    Ailment.STUCK: "worker.stuck",
}


def canary_queue(node: str) -> Queue:
    """The queue that only this worker reads."""
    name = canary_queue_name(node)
    exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call]  # kombu is typed in part
    return Queue(name, exchange=exchange, routing_key=name, expires=QUEUE_SECONDS)  # type: ignore[no-untyped-call]  # as above


class WorkerHealth:
    """One worker's thread. Begun once the pool is up, whether or not Redis answers."""

    def __init__(self, app: Celery, settings: Settings, *, longest_task: float) -> None:
        self._app = app
        self._settings = settings
        # A canary may be lost with a connection; only the second one's silence proves anything.
        deaf_after = max(settings.worker.deaf_after, 2 * settings.worker.canary_interval + 1)
        self._hearing = Hearing(deaf_after=deaf_after, stuck_after=longest_task)
        self._worker: Any = None
        self._consumer: Any = None
        self._over = threading.Event()
        self._told: Ailment | None = None
        self._recycling = False
        self._leaving = False
        self._started = 0.0
        self._client: redis.Redis | None = None
        self._trouble = ""

    # Called by the bootsteps, in the main thread.

    def begin(self, worker: Any) -> None:
        """The pool is up."""
        self._worker = worker
        self._started = self._app.seconds()
        notify.ready("up; connecting to Redis")
        threading.Thread(target=self._run, name="health", daemon=True).start()

    def connected(self, consumer: Any) -> None:
        """The consumer reads its queues."""
        self._consumer = consumer

    def disconnected(self) -> None:
        """It lost Redis, or was told to stop reading."""
        self._consumer = None

    def leave(self) -> None:
        """It was told to go: nothing more is proved, while its tasks end. Called by a signal handler: takes no lock."""
        self._leaving = True
        notify.stopping("finishing running tasks")

    def end(self) -> None:
        """The pool goes down."""
        self._leaving = True
        self._over.set()

    # The thread.

    def _run(self) -> None:
        limit = notify.watchdog_seconds()
        # A quarter, because a turn may wait for Redis' time-outs too.
        step = min(limit / 4 if limit else 5.0, self._settings.worker.canary_interval / 2)
        next_canary = 0.0
        while not self._over.wait(step if next_canary else 0):
            now = time.monotonic()
            load = self.load()
            self._hearing.look(load, connected=self._consumer is not None, now=now)
            if now >= next_canary:
                self._speak(load, now)
                next_canary = now + self._settings.worker.canary_interval
            if not self._leaving:
                self._judge(load, now)
                self._recycle_threads(load)

    def load(self) -> Load:
        """What the worker has in hand now."""
        qos = getattr(self._consumer, "qos", None)
        most = qos.value if qos is not None else 0
        running = len(state.active_requests)
        takes_more = most == 0 or len(state.reserved_requests) < most
        return Load(
            begun=state.all_total_count[0],
            canaries=state.total_count[CANARY],
            running=running,
            room=takes_more and running < self._worker.pool.num_processes,
        )

    def _speak(self, load: Load, now: float) -> None:
        """Write the pulse and send a canary, over connections of our own with time-outs."""
        node = self._worker.hostname
        try:
            self._write_pulse(load, node)
            if self._consumer is not None:
                self._send_canary(node)
        except (RedisError, OperationalError, OSError) as error:
            self._trouble = str(error)
            self._hearing.could_not_ask()
        else:
            self._trouble = ""
            self._hearing.asked(now)

    def _write_pulse(self, load: Load, node: str) -> None:
        consumed = self._hearing.consumed_at
        write_pulse(
            self._redis,
            self._settings.redis.key_prefix,
            node,
            self._app.seconds(),
            {
                "started_at": self._started,
                "tasks": load.done,
                "memory": self._memory(),
                "consumed_at": self._app.seconds() - (time.monotonic() - consumed) if consumed is not None else "",
                **limits_told(_limits(self._worker)),
            },
        )

    def _send_canary(self, node: str) -> None:
        queue = canary_queue(node)
        key = f"{self._settings.redis.key_prefix}{queue.name}"
        # One at a time: those of a worker that does not come to take them must not pile up.
        if self._redis.llen(key) == 0:
            options: dict[str, Any] = {"priority": URGENT, "expires": CANARY_SECONDS, "retry": False}
            self._app.send_task(CANARY, args=[""], queue=queue, ignore_result=True, **options)

    def _judge(self, load: Load, now: float) -> None:
        found = self._hearing.ailment(now)
        if found:
            self._tell_ill(*found)
            return
        if self._told:
            log.info("worker.hears_again", after=str(self._told))
            self._told = None
        notify.alive(self._status(load))

    def _tell_ill(self, ailment: Ailment, seconds: float) -> None:
        if self._told is ailment:
            return
        self._told = ailment
        remedy = _REPLACED if notify.watchdog_seconds() else _RESTART
        log.error(_EVENTS[ailment], seconds=round(seconds), node=self._worker.hostname, remedy=remedy)
        notify.status(f"{ailment} for {seconds:.0f} s: waiting to be replaced")

    def _status(self, load: Load) -> str:
        counted = f"{load.done:,} tasks done, {load.running:,} running"
        if self._consumer is None:
            return f"waiting for Redis{f' ({self._trouble})' if self._trouble else ''}; {counted}"
        return counted

    def _recycle_threads(self, load: Load) -> None:
        """Celery recycles processes; a worker of threads ends warmly as a whole, and its manager starts a new one."""
        if self._recycling or not isinstance(self._worker.pool, TaskPool):
            return
        memory = resident([os.getpid()]) // 1024
        most_tasks, most_memory = self._worker.max_tasks_per_child, self._worker.max_memory_per_child
        reason = "tasks" if most_tasks and load.done >= most_tasks else ""
        reason = reason or ("memory" if most_memory and memory >= most_memory else "")
        if not reason:
            return
        self._recycling = True
        log.info("child.recycled", reason=reason, tasks=load.done, memory=memory, pid=os.getpid())
        os.kill(os.getpid(), signal.SIGTERM)

    def _memory(self) -> int:
        pool = getattr(self._worker.pool, "_pool", None)
        children = [child.pid for child in getattr(pool, "_pool", ()) if getattr(child, "pid", None)]
        return resident([os.getpid(), *children])

    @property
    def _redis(self) -> redis.Redis:
        if self._client is None:
            self._client = connect(self._settings.redis)
        return self._client


def _limits(worker: Any) -> WorkerLimits:
    """What Celery made of its arguments."""
    return WorkerLimits(
        concurrency=worker.concurrency,
        prefetch=worker.prefetch_multiplier,
        max_tasks_per_child=worker.max_tasks_per_child,
        max_memory_per_child=worker.max_memory_per_child,
    )


def connect_health(app: Celery, settings: Settings, *, longest_task: float) -> None:
    """Have every worker of this app prove itself. Other processes are not touched."""
    made: list[WorkerHealth] = []

    class PoolUp(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Begins when the pool stands; ends first."""

        requires = ("celery.worker.components:Pool",)

        def create(self, worker: Any) -> None:
            worker.concord_health = WorkerHealth(app, settings, longest_task=longest_task)
            made[:] = [worker.concord_health]

        def start(self, worker: Any) -> None:
            worker.concord_health.begin(worker)

        def stop(self, worker: Any) -> None:
            worker.concord_health.end()

        terminate = stop

    class Reading(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Knows whether the worker reads its queues: begins anew with every connection."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            consumer.controller.concord_health.connected(consumer)

        def stop(self, consumer: Any) -> None:
            consumer.controller.concord_health.disconnected()

        shutdown = stop

    app.steps["worker"].add(PoolUp)
    app.steps["consumer"].add(Reading)

    def own_queue(sender: str, instance: Any, **_: object) -> None:
        instance.app.amqp.queues.select_add(canary_queue(sender))

    def going_down(**_: object) -> None:
        for health in made:
            health.leave()

    for sign, receiver in ((signals.celeryd_after_setup, own_queue), (signals.worker_shutting_down, going_down)):
        uid = f"concord.{receiver.__name__}"
        sign.disconnect(dispatch_uid=uid)
        sign.connect(receiver, weak=False, dispatch_uid=uid)
