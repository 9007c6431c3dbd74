"""The claims of workers that are gone: freed at the next start of the same worker, not only when their leases lapse."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine

from concord.adapters.sql.claims import MESSAGES
from concord.adapters.sql.deliveries import DELIVERIES
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.runs import RUNS

# Rows in one transaction: locks are held for a moment, however much a worker held.
_BATCH: Final = 500
_WORKS: Final = (MESSAGES, DELIVERIES, RUNS)


class SqlClaims:
    """Messages, deliveries and workflow runs that workers have claimed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holders(self, prefix: str) -> set[str]:
        """Who holds any of them, of those whose name begins so."""
        with reading(self._engine) as connection:
            return set[str]().union(*(work.holders(connection, prefix) for work in _WORKS))

    def release(self, holder: str) -> int:
        """Free all that a dead worker holds, as if its leases had lapsed; how many rows."""
        released = 0
        while batch := self._release_batch(holder):
            released += batch
        return released

    def _release_batch(self, holder: str) -> int:
        with transaction(self._engine) as connection:
            return sum(work.release(connection, holder, limit=_BATCH) for work in _WORKS)
