"""Proof that started daemons work, not only live: a canary comes back from each worker, and Beat ticks (spec M4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from concord.errors import NotConsumingError, QueueDownError
from concord.model.daemon import BEAT, worker
from concord.model.progress import Told
from concord.model.worker import WorkerConfig, WorkerType
from concord.ports import DELIVER_QUEUE, MAIL_QUEUE, POLL_QUEUE, Clock, Pulse

BETWEEN_LOOKS: Final = 0.25
_BETWEEN_CANARIES: Final = timedelta(seconds=3)
_QUEUES: Final = {
    WorkerType.POLL: POLL_QUEUE,
    WorkerType.MAIL: MAIL_QUEUE,
    WorkerType.DELIVER: DELIVER_QUEUE,
}


def queue_of(config: WorkerConfig) -> str:
    """The queue that a worker reads."""
    return _QUEUES[config.type]


@dataclass(slots=True, kw_only=True)
class Proof:
    """Waits for a set of daemons of this host. One use."""

    pulse: Pulse
    host: str
    clock: Clock
    pause: Callable[[float], None] = time.sleep
    _waiting: dict[str, str | None] = field(default_factory=dict)  # daemon, and the queue it reads
    _tokens: list[str] = field(default_factory=list)
    _sent_at: datetime | None = None
    _begun: datetime | None = None
    _tick: datetime | None = None
    _cause: QueueDownError | None = None

    def wait(self, configs: Mapping[str, WorkerConfig], *, beat: bool, timeout: float, told: Told) -> None:
        """Until each works. Raises NotConsumingError, which names those that do not, and Redis where it is away."""
        self._waiting = {name: queue_of(config) for name, config in configs.items()}
        self._begun = self.clock()
        if beat:
            self._waiting[BEAT] = None
            with self._patience():
                self._tick = self.pulse.last_tick()
        end = self._begun + timedelta(seconds=timeout)
        while self._waiting:
            with self._patience():
                self._look()
            if not self._waiting:
                return
            if self.clock() >= end:
                raise self._failure(timeout)
            self._tell(told)
            self.pause(BETWEEN_LOOKS)

    def _look(self) -> None:
        self._send()
        now_working = {f"{worker(node.partition('@')[0])}" for node in self._returned() if self._is_here(node)}
        now_working |= {
            worker(one.instance)
            for one in self.pulse.workers()
            # Where several workers read one queue, a canary may always go to the others: each also sends its own.
            if self._is_here(one.node) and one.consumed_at and self._begun and one.consumed_at > self._begun
        }
        if BEAT in self._waiting and self.pulse.last_tick() not in (None, self._tick):
            now_working.add(BEAT)
        for name in now_working & self._waiting.keys():
            del self._waiting[name]

    def _send(self) -> None:
        """Again every few seconds: one may be lost with a connection."""
        queues = {queue for queue in self._waiting.values() if queue}
        if not queues or (self._sent_at and self.clock() - self._sent_at < _BETWEEN_CANARIES):
            return
        self._sent_at = self.clock()
        self._tokens += [self.pulse.send_canary(queue) for queue in sorted(queues)]

    def _returned(self) -> Iterator[str]:
        for token in list(self._tokens):
            node = self.pulse.returned(token)
            if node is not None:
                self._tokens.remove(token)
                yield node

    def _is_here(self, node: str) -> bool:
        return node.partition("@")[2] == self.host

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """A Redis that is away for a moment is waited for like a daemon."""
        try:
            yield
        except QueueDownError as error:
            self._cause = error
        else:
            self._cause = None

    def _tell(self, told: Told) -> None:
        """What is still waited for."""
        workers = ", ".join(name for name, queue in self._waiting.items() if queue)
        if BEAT not in self._waiting:
            told("waiting for a task to come back from %(workers)s", workers=workers)
        elif workers:
            told("waiting for Beat to tick, and for a task to come back from %(workers)s", workers=workers)
        else:
            told("waiting for Beat to tick")

    def _failure(self, timeout: float) -> NotConsumingError:
        names = list(self._waiting)
        return NotConsumingError(
            "several" if len(names) > 1 else "one",
            daemon=", ".join(names),
            waited=f"{timeout:.0f} s",
            no_task_from=", ".join(name for name, queue in self._waiting.items() if queue),
            no_tick_from="beat" if BEAT in self._waiting else None,
            cause=self._cause,
        )
