"""How many octets to ask for in one command, so that a slow server's answer fits into a poll."""

from __future__ import annotations

from typing import Final

# More than this is not asked for in one go, however small the chunks are and however many the batch may have.
BATCH_OCTETS: Final = 8 * 1024 * 1024
# Less than this is never asked for: a command costs a round trip.
LEAST_OCTETS: Final = 4096

# Parts of a poll's budget: an answer that takes longer than the first is too big, one that takes less than the second
# leaves room for twice as much. The next answer aims between them.
_TOO_LONG: Final = 1 / 3
_AIM: Final = 1 / 6
_SHORT: Final = 1 / 12


class Pace:
    """One account's measure, kept between polls; used by one poll at a time."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self.octets = BATCH_OCTETS

    @property
    def is_slow(self) -> bool:
        return self.octets < BATCH_OCTETS

    def note(self, received: int, seconds: float, *, cut: bool = False) -> None:
        """Learn from one answer: its octets, how long it took, and whether time ran out before its end."""
        if cut or seconds > self._budget * _TOO_LONG:
            fits = int(received * self._budget * _AIM / max(seconds, 0.001))
            self.octets = max(LEAST_OCTETS, min(fits, self.octets // 2))
        elif seconds < self._budget * _SHORT:
            self.octets = min(BATCH_OCTETS, self.octets * 2)
