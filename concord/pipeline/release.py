"""What a dead worker held is freed when the same worker starts again; until then, leases lapse.

What a pool's process held that dies alone is freed by its worker, which outlives it.
"""

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
        for holder in sorted(holding.holders(worker.prefix)):
            if worker.includes(holder):
                continue
            if is_alive(holder):
                log.warning("worker.same_name", node=worker.node, remedy="Give each worker a name of its own (-n)")
                continue
            released += holding.release(holder)
    if released:
        log.info("worker.released", node=worker.node, count=released)
    return released


def release_process(holdings: Iterable[Holdings], process: Incarnation) -> int:
    """Free what a pool's process held that died alone; how much."""
    released = sum(holding.release(str(process)) for holding in holdings)
    if released:
        log.warning("child.released", node=process.node, count=released)
    return released
