"""Messages a worker has in hand when Redis goes away, or is full, stay where they are and come back by themselves.

kombu gives them back when it closes a channel. Where the connection was given up before, it looks for an address that
is gone, and the AttributeError ends the worker; Redis being away must end nobody. The message is in Redis'
`unacked`: the visibility timeout brings it back, or the sweep, which is sooner.

A Redis at `maxmemory` refuses what kombu writes about messages in hand, and every command of a transaction. So what
only removes is sent without one, and what would add is left out: then the message is in the worker's hands alone, and
the sweep finds what a crash would lose.

When a message was taken, and whether its visibility timeout is over, is said by Redis's clock. kombu asks the host's:
one that is ahead would hand out what other hosts have in hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from kombu.transport import redis, virtual
from redis.exceptions import OutOfMemoryError

log = structlog.get_logger(__name__)

_ROOM = "Give Redis more memory ('maxmemory') or find what grows in it; workers go on by themselves"


_MEASURE_EVERY: Final = 60.0


def _uptime() -> float:
    """Seconds that no one can set; unlike time.monotonic it goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RedisClock:
    """Redis's time, advanced by this machine's monotonic clock and measured again every minute."""

    def __init__(self, uptime: Callable[[], float] = _uptime) -> None:
        self._uptime = uptime
        self._base: float | None = None  # Redis's time when the monotonic clock read zero
        self._measured_at = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch; the host's own before the first measurement."""
        return time.time() if self._base is None else self._base + self._uptime()

    def measure_when_due(self, client: Any) -> None:
        """Ask Redis, over a connection that is about to be used anyway."""
        now = self._uptime()
        if self._base is None or now - self._measured_at >= _MEASURE_EVERY:
            seconds, micro = client.time()
            self._base, self._measured_at = seconds + micro / 1e6 - (now + self._uptime()) / 2, now


_clock = RedisClock()


class Unacked(redis.QoS):
    """A channel's messages in hand."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note that it is in our hands, in Redis too if Redis has room."""
        self._ask_the_time()
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]  # kombu is typed in part
        except OutOfMemoryError as error:
            log.warning("queue.full", cause=str(error), remedy=_ROOM)
            virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]  # as above

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Give one back, if Redis has room; else it stays in `unacked`."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)  # type: ignore[no-untyped-call]  # as above
        except OutOfMemoryError as error:
            log.warning("queue.full", cause=str(error), remedy=_ROOM)

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Give back what workers left behind; later, where Redis has no room."""
        self._ask_the_time()
        try:
            super().restore_visible(start=start, num=num, interval=interval)  # type: ignore[no-untyped-call]  # as above
        except OutOfMemoryError as error:
            log.debug("queue.full", cause=str(error))

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give them back, unless there is nobody to give them to."""
        if not self._delivered or self.channel.connection is None or self.channel.connection.client is not None:
            super().restore_unacked_once(stderr=stderr)  # type: ignore[no-untyped-call]  # kombu is typed in part
            return
        self._on_collect.cancel()
        log.warning("queue.unacked_left", count=len(self._delivered), remedy="Nothing to do: they are processed again")

    def _ask_the_time(self) -> None:
        with self.channel.conn_or_acquire() as client:
            _clock.measure_when_due(client)

    def _remove_from_indices(self, delivery_tag: str, pipe: Any = None) -> Any:
        if pipe is not None:
            return super()._remove_from_indices(delivery_tag, pipe)  # type: ignore[no-untyped-call]  # as above
        with self.channel.conn_or_acquire() as client:
            removal = client.pipeline(transaction=False)
            return removal.zrem(self.unacked_index_key, delivery_tag).hdel(self.unacked_key, delivery_tag)


def use_unacked() -> None:
    """Have every Redis channel of this process keep its messages so, Sentinel's as well."""
    redis.Channel.QoS = Unacked
    redis.time = _clock  # type: ignore[attr-defined]  # what `QoS` asks for the time
