"""What a dead worker held is freed when the same worker starts again; until then, leases lapse."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from concord.model.worker import Incarnation
from concord.ports import Holdings

log = structlog.get_logger(__name__)


def release_dead(holdings: Iterable[Holdings], worker: Incarnation, *, is_alive: Callable[[str], bool]) -> int:
    """Free what earlier lives of this worker's node hold; how much.

    Another worker of the same name that still runs keeps what it holds: an operator has started two.
    """
    released = 0
    for holding in holdings:
        for holder in sorted(holding.holders(worker.prefix) - {str(worker)}):
            if is_alive(holder):
                log.warning("worker.same_name", node=worker.node, remedy="Give each worker a name of its own (-n)")
                continue
            released += holding.release(holder)
    if released:
        log.info("worker.released", node=worker.node, count=released)
    return released
