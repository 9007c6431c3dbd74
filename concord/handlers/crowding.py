"""Concord's own Redis holds the queues and never evicts: a stream that nobody reads would fill it and stop all mail."""

from __future__ import annotations

from typing import Final

from concord.errors import BrokerCrowdedError
from concord.handlers.tools import HandlerTools

# Seconds until it is looked at again for the same delivery.
_AGAIN: Final = 60


def refuse_crowded(tools: HandlerTools) -> None:
    """Raise BrokerCrowdedError where handlers must write no more into Concord's own Redis."""
    memory = tools.memory()
    allowed = min(tools.broker_bytes, memory.limit // 2) if memory.limit else tools.broker_bytes
    if memory.used > allowed:
        raise BrokerCrowdedError(used=memory.used, limit=allowed, busy=True, retry_after=_AGAIN)
