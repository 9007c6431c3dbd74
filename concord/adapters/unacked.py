"""Messages a worker has in hand when Redis goes away stay where they are, and come back by themselves.

kombu gives them back when it closes a channel. Where the connection was given up before, it looks for an address that
is gone, and the AttributeError ends the worker; Redis being away must end nobody. The message is in Redis'
`unacked`: the visibility timeout brings it back, or the sweep, which is sooner.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import redis

log = structlog.get_logger(__name__)


class Unacked(redis.QoS):
    """A channel's messages in hand."""

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give them back, unless there is nobody to give them to."""
        if not self._delivered or self.channel.connection is None or self.channel.connection.client is not None:
            super().restore_unacked_once(stderr=stderr)  # type: ignore[no-untyped-call]  # kombu is typed in part
            return
        self._on_collect.cancel()
        log.warning("queue.unacked_left", count=len(self._delivered), remedy="Nothing to do: they are processed again")


def use_unacked() -> None:
    """Have every Redis channel of this process keep its messages so, Sentinel's as well."""
    redis.Channel.QoS = Unacked
