"""Serving one lane: a thread takes what goes next, until its turn is over or nothing waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from concord.model.delivery import OutboxRef
from concord.pipeline.foreign import LingersError
from concord.pipeline.lanes import Lanes
from concord.ports import Clock

# How long one task may go on. Others then have the thread, and a worker that is to stop need not wait longer.
TURN: Final = timedelta(seconds=20)
# As much is claimed at once as a lane's last deliveries say will be done in this time.
AHEAD: Final = timedelta(seconds=1)
MOST_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The turns of one process's threads at its lanes."""

    lanes: Lanes
    queue: Callable[[Iterable[OutboxRef]], None]
    clock: Clock
    _pace: dict[str, float] = field(default_factory=dict)  # seconds that a lane's last batch took for each

    def serve(self, refs: Iterable[OutboxRef], work: Callable[[list[OutboxRef]], int]) -> int:
        """Have these wait, and serve their lanes as far as there are places; the sum of what `work` says.

        What waits longer than a turn is queued again.
        """
        refs = list(refs)
        self.lanes.add(refs)
        return sum(self._serve(lane, work) for lane in dict.fromkeys(ref.lane for ref in refs))

    def _serve(self, lane: str, work: Callable[[list[OutboxRef]], int]) -> int:
        if not self.lanes.enter(lane):
            return 0
        done, is_in = 0, True
        enough = self.clock() + TURN
        try:
            while self.clock() < enough:
                refs = self.lanes.take(lane, self._batch(lane))
                if not refs:
                    is_in = False
                    return done
                began = self.clock()
                done += work(refs)
                self._pace[lane] = (self.clock() - began).total_seconds() / len(refs)
        except LingersError:
            is_in = False
        finally:
            if is_in:
                self.lanes.leave(lane)
        self.queue(self.lanes.peek(lane, MOST_AT_ONCE))
        return done

    def is_over(self, began_at: datetime) -> bool:
        """Whether a batch takes longer than was thought: the rest of it is then better given back."""
        return self.clock() - began_at > 3 * AHEAD

    def _batch(self, lane: str) -> int:
        """One at first: nothing is known of the handler."""
        pace = self._pace.get(lane)
        if pace is None:
            return 1
        return max(1, min(MOST_AT_ONCE, int(AHEAD.total_seconds() / pace))) if pace else MOST_AT_ONCE
