"""The daemons' pulse in memory: workers that a test declares, and canaries that they answer."""

from __future__ import annotations

from datetime import datetime
from itertools import count

from concord.errors import QueueDownError
from concord.ports import WorkerPulse


class MemoryPulse:
    """Keeps `ports.Pulse`. `down = True` makes it raise as a stopped Redis does."""

    def __init__(self) -> None:
        self.spoken: dict[str, WorkerPulse] = {}
        self.ticked_at: datetime | None = None
        self.sent_at: datetime | None = None
        self.consumers: dict[str, str] = {}  # queue: the node that runs what is sent there
        self.sent: list[tuple[str, str]] = []  # (queue, token)
        self.down = False
        self._tokens = count(1)

    def workers(self) -> list[WorkerPulse]:
        self._refuse_when_down()
        return list(self.spoken.values())

    def last_tick(self) -> datetime | None:
        self._refuse_when_down()
        return self.ticked_at

    def last_send(self) -> datetime | None:
        self._refuse_when_down()
        return self.sent_at

    def send_canary(self, queue: str) -> str:
        self._refuse_when_down()
        token = f"canary-{next(self._tokens)}"
        self.sent.append((queue, token))
        return token

    def returned(self, token: str) -> str | None:
        self._refuse_when_down()
        return next((self.consumers.get(queue) for queue, sent in self.sent if sent == token), None)

    # What a test arranges.

    def speak(self, pulse: WorkerPulse) -> None:
        """As a worker does every few seconds."""
        self.spoken[pulse.node] = pulse

    def consume(self, queue: str, node: str) -> None:
        """From now on a worker runs what lies on a queue."""
        self.consumers[queue] = node

    def _refuse_when_down(self) -> None:
        if self.down:
            raise QueueDownError("no_answer")
