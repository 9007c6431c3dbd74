"""Whether a worker still hears, judged from what it has begun since it was last asked (spec D1).

A canary that does not come back, while the worker is connected and has room for it, means a worker that is deaf. A busy
pool makes nobody deaf, nor does a Redis that is away: what cannot be sent cannot go stale. All times are monotonic
seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A consumer waits up to half a minute between two tries to connect.
RECONNECT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a worker has in hand, read from Celery's own books."""

    begun: int  # tasks that the pool took up since the start, canaries among them
    canaries: int
    running: int
    room: bool  # it would take another message, and begin it at once

    @property
    def done(self) -> int:
        """Finished tasks, canaries left out."""
        return max(self.begun - self.canaries - self.running, 0)


class Ailment(StrEnum):
    """What keeps a worker from working, though it lives."""

    DEAF = "deaf"  # connected, with room, and a canary waits
    LOST = "lost"  # not connected, though Redis answers others
    STUCK = "stuck"  # a full pool that has taken up nothing for longer than any task may last


class Hearing:
    """One worker's, looked at every few seconds by its health thread."""

    def __init__(self, *, deaf_after: float, stuck_after: float) -> None:
        self._limits = {
            Ailment.DEAF: deaf_after,
            Ailment.LOST: deaf_after + RECONNECT_SECONDS,
            Ailment.STUCK: stuck_after,
        }
        self._since: dict[Ailment, float] = {}
        self._begun = -1
        self._canaries = 0
        self._connected = False
        self._room = True
        self.consumed_at: float | None = None

    def look(self, load: Load, *, connected: bool, now: float) -> None:
        """Take note of what moved since the last look."""
        if load.canaries != self._canaries:
            self.consumed_at = now
        if load.begun != self._begun or connected != self._connected:
            self._since.clear()
        if load.room and not self._room and Ailment.DEAF in self._since:
            # A canary that waited behind a full pool has its whole time from now on.
            self._since[Ailment.DEAF] = now
        if load.room:
            self._since.pop(Ailment.STUCK, None)
        else:
            self._since.setdefault(Ailment.STUCK, now)
        self._begun, self._canaries = load.begun, load.canaries
        self._connected, self._room = connected, load.room

    def asked(self, now: float) -> None:
        """Redis answered, and where the worker is connected a canary waits in its queue."""
        self._since.setdefault(Ailment.DEAF if self._connected else Ailment.LOST, now)

    def could_not_ask(self) -> None:
        """Redis did not answer us either: silence proves nothing."""
        self._since.pop(Ailment.DEAF, None)
        self._since.pop(Ailment.LOST, None)

    def ailment(self, now: float) -> tuple[Ailment, float] | None:
        """What is wrong, and for how many seconds; None while all is well."""
        for kind, since in self._since.items():
            if kind is Ailment.DEAF and not self._room:
                continue
            if now - since > self._limits[kind]:
                return kind, now - since
        return None
