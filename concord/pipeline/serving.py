"""What the threads of one process share while they make deliveries and take steps."""

from __future__ import annotations

from dataclasses import dataclass

from concord.pipeline.foreign import ForeignCalls
from concord.pipeline.hands import Hands
from concord.pipeline.lanes import Lanes
from concord.pipeline.turns import Turns
from concord.ports import Clock, Outbox, Queue
from concord.settings import DispatchSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One per process: a claim, a place in a lane and a foreign call are the whole process's."""

    hands: Hands
    calls: ForeignCalls
    deliveries: Turns
    runs: Turns

    @classmethod
    def make(cls, outbox: Outbox, queue: Queue, settings: DispatchSettings, clock: Clock, *, share: int) -> Serving:
        """`share` is how many threads one handler or workflow may have at a time."""
        return cls(
            hands=Hands(outbox, clock),
            calls=ForeignCalls(settings.handler_time_limit),
            deliveries=Turns(lanes=Lanes(share), queue=queue.deliver, clock=clock),
            runs=Turns(lanes=Lanes(share), queue=queue.advance, clock=clock),
        )
