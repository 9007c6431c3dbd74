"""When an entry is due: on a grid of its own, so that entries neither drift nor bunch up."""

from __future__ import annotations

import math
from hashlib import blake2s

FIRST_WITHIN = 60.0


def next_due(now: float, last: float | None, interval: float, offset: float) -> float:
    """The epoch second at which an entry is due: the first point of its grid after it last ran.

    That point may lie in the past: then it is due once, however many points were missed. An entry that never ran is due
    within a minute. A `last` ahead of the clock by more than an interval is a clock that was set back, not a run.
    """
    if last is None:
        return _point_after(now, min(interval, FIRST_WITHIN), offset)
    return min(_point_after(last, interval, offset), _point_after(now, interval, offset) + interval)


def offset_of(name: str) -> float:
    """Where in its interval an entry lies, as a fraction: the same on every machine and after every restart."""
    return int.from_bytes(blake2s(name.encode(), digest_size=4).digest(), "big") / 2**32


def _point_after(moment: float, interval: float, offset: float) -> float:
    shift = offset * interval
    point = (math.floor((moment - shift) / interval) + 1) * interval + shift
    # Rounding may land on the moment itself; the next point is strictly later.
    return point if point > moment else point + interval
