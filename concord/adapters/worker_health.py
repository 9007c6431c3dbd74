"""A worker proves that it works: it sends itself a canary, a task that does nothing but come back (spec D1).

The canary goes through everything a mail's task goes through: Redis, the worker's own connection, its loop, its pool.
One that does not come back, while the worker is connected and has room, means a worker that is deaf; its pings then
stop, and the service manager replaces it. A Redis that is away makes nobody deaf: what cannot be sent cannot go stale.
So says a thread of the main process, which also writes the worker's pulse and recycles a worker of threads.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import redis
import structlog
from celery import Celery, bootsteps, signals
from celery.worker import state
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from concord.adapters import notify
from concord.adapters.processes import resident
from concord.adapters.pulse import write_pulse
from concord.adapters.redis import connect
from concord.adapters.task_names import CANARY, URGENT
from concord.settings import Settings

log = structlog.get_logger(__name__)

# Kept as long as a worker may be away before somebody wonders: it then finds one canary, not a day's.
QUEUE_SECONDS: Final = 300
CANARY_SECONDS: Final = 60
_DEAF_REMEDY: Final = "Nothing to do: it is replaced. If it lasts, look at the network between this host and Redis"
_STUCK_REMEDY: Final = "Nothing to do: it is replaced. The stacks of its threads follow in this log; please report them"


def canary_queue(node: str) -> Queue:
    """The queue that only this worker reads. Of the default exchange, so that no binding stays in Redis."""
    return Queue(f"canary.{node}", exchange="", routing_key=f"canary.{node}")  # type: ignore[no-untyped-call]  # kombu is typed in part


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a worker has in hand, read from Celery's own books."""

    begun: int  # tasks that the pool took up since the start, canaries among them
    canaries: int
    running: int
    room: bool  # it would take another message

    @property
    def tasks(self) -> int:
        return self.begun - self.canaries


class Hearing:
    """Whether a worker still hears, judged from what it has begun. Times are monotonic seconds."""

    def __init__(self, *, deaf_after: float, stuck_after: float) -> None:
        self._deaf_after = deaf_after
        self._stuck_after = stuck_after
        self._begun = -1
        self._canaries = 0
        self._moved_at: float | None = None
        self._asked_at: float | None = None
        self._had_room = True
        self.consumed_at: float | None = None

    def look(self, load: Load, *, connected: bool, now: float) -> None:
        """Take note of what moved since the last look."""
        if load.canaries != self._canaries:
            self._canaries = load.canaries
            self.consumed_at = now
        if load.begun != self._begun or not connected:
            self._begun = load.begun
            self._moved_at = now
            self._asked_at = None
        if load.room and not self._had_room:
            # A canary that waited behind a full pool has its whole time from now on.
            self._asked_at = now if self._asked_at is not None else None
        self._had_room = load.room

    def asked(self, now: float) -> None:
        """A canary waits in the queue."""
        if self._asked_at is None:
            self._asked_at = now

    def silent_for(self, now: float) -> float:
        """How long a canary has waited, or a full pool taken up nothing, beyond what is usual; 0 while all is well."""
        if self._had_room and self._asked_at is not None and now - self._asked_at > self._deaf_after:
            return now - self._asked_at
        if not self._had_room and self._moved_at is not None and now - self._moved_at > self._stuck_after:
            return now - self._moved_at
        return 0.0

    @property
    def full(self) -> bool:
        """Whether the pool has no room for a canary."""
        return not self._had_room


class WorkerHealth:
    """One worker's thread. Begun once the pool is up, whether or not Redis answers."""

    def __init__(self, app: Celery, settings: Settings, *, longest_task: float) -> None:
        self._app = app
        self._settings = settings
        self._hearing = Hearing(deaf_after=settings.worker.deaf_after, stuck_after=longest_task)
        self._worker: Any = None
        self._consumer: Any = None
        self._over = threading.Event()
        self._told_deaf = False
        self._recycling = False
        self._started = 0.0
        self._client: redis.Redis | None = None
        self._trouble = ""

    # Called by the bootsteps, in the main thread.

    def begin(self, worker: Any) -> None:
        """The pool is up."""
        self._worker = worker
        self._started = time.time()
        notify.ready("up; connecting to Redis")
        threading.Thread(target=self._run, name="health", daemon=True).start()

    def connected(self, consumer: Any) -> None:
        """The consumer reads its queues."""
        self._consumer = consumer

    def disconnected(self) -> None:
        """It lost Redis, or was told to stop reading."""
        self._consumer = None

    def end(self) -> None:
        """The worker is going down: nothing more is proved."""
        self._over.set()
        notify.stopping("finishing running tasks")

    # The thread.

    def _run(self) -> None:
        limit = notify.watchdog_seconds()
        step = min(limit / 4 if limit else 5.0, self._settings.worker.canary_interval / 2)
        next_canary = 0.0
        while not self._over.wait(step if next_canary else 0):
            now = time.monotonic()
            load = self.load()
            self._hearing.look(load, connected=self._consumer is not None, now=now)
            if now >= next_canary:
                self._speak(load, now)
                next_canary = now + self._settings.worker.canary_interval
            self._judge(load, now)
            self._recycle_threads(load)

    def load(self) -> Load:
        """What the worker has in hand now."""
        consumer = self._consumer
        qos = getattr(consumer, "qos", None)
        most = qos.value if qos is not None else 0
        return Load(
            begun=state.all_total_count[0],
            canaries=state.total_count[CANARY],
            running=len(state.active_requests),
            room=most == 0 or len(state.reserved_requests) < most,
        )

    def _speak(self, load: Load, now: float) -> None:
        """Write the pulse and send a canary, over connections of our own with time-outs."""
        node = self._worker.hostname
        try:
            self._write_pulse(load, node)
            if self._consumer is not None:
                self._send_canary(node)
                self._hearing.asked(now)
            self._trouble = ""
        except (RedisError, OperationalError, OSError) as error:
            self._trouble = str(error)

    def _write_pulse(self, load: Load, node: str) -> None:
        consumed = self._hearing.consumed_at
        write_pulse(
            self._redis,
            self._settings.redis.key_prefix,
            node,
            {
                "started_at": self._started,
                "tasks": load.tasks,
                "memory": self._memory(),
                "consumed_at": time.time() - (time.monotonic() - consumed) if consumed is not None else "",
            },
        )

    def _send_canary(self, node: str) -> None:
        queue = canary_queue(node)
        key = f"{self._settings.redis.key_prefix}{queue.name}"
        if self._redis.llen(key) == 0:
            options = {"priority": URGENT, "expires": CANARY_SECONDS, "retry": False, "ignore_result": True}
            self._app.send_task(CANARY, args=[""], queue=queue, **options)
        self._redis.expire(key, QUEUE_SECONDS)

    def _judge(self, load: Load, now: float) -> None:
        silent = self._hearing.silent_for(now)
        if silent:
            self._tell_deaf(silent)
            return
        if self._told_deaf:
            log.info("worker.hears_again")
            self._told_deaf = False
        notify.alive(self._status(load))

    def _tell_deaf(self, silent: float) -> None:
        if self._told_deaf:
            return
        self._told_deaf = True
        event, remedy = ("worker.stuck", _STUCK_REMEDY) if self._hearing.full else ("worker.deaf", _DEAF_REMEDY)
        log.error(event, seconds=round(silent), remedy=remedy if notify.watchdog_seconds() else "Restart it")
        notify.status(f"{event.partition('.')[2]} for {silent:.0f} s: waiting to be replaced")

    def _status(self, load: Load) -> str:
        done = f"{load.tasks:,} tasks begun, {load.running} running"
        if self._consumer is None:
            return f"waiting for Redis{f' ({self._trouble})' if self._trouble else ''}; {done}"
        return done

    def _recycle_threads(self, load: Load) -> None:
        """Celery recycles processes; a worker of threads ends warmly as a whole, and its manager starts a new one."""
        if self._recycling or type(self._worker.pool).__module__ != "celery.concurrency.thread":
            return
        memory = resident([os.getpid()]) // 1024
        most_tasks, most_memory = self._worker.max_tasks_per_child, self._worker.max_memory_per_child
        reason = "tasks" if most_tasks and load.tasks >= most_tasks else ""
        reason = reason or ("memory" if most_memory and memory >= most_memory else "")
        if not reason:
            return
        self._recycling = True
        log.info("child.recycled", reason=reason, tasks=load.tasks, memory=memory, pid=os.getpid())
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


def connect_health(app: Celery, settings: Settings, *, longest_task: float) -> None:
    """Have every worker of this app prove itself. Other processes are not touched."""
    making: Callable[[], WorkerHealth] = partial(WorkerHealth, app, settings, longest_task=longest_task)

    class PoolUp(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
        """Begins when the pool stands; ends first."""

        requires = ("celery.worker.components:Pool",)

        def create(self, worker: Any) -> None:
            worker.concord_health = making()

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
        notify.stopping("finishing running tasks")

    for sign, receiver in ((signals.celeryd_after_setup, own_queue), (signals.worker_shutting_down, going_down)):
        uid = f"concord.{receiver.__name__}"
        sign.disconnect(dispatch_uid=uid)
        sign.connect(receiver, weak=False, dispatch_uid=uid)
