"""What workers that are gone held: freed at the next start of the same worker, not only when their leases lapse."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, and_, delete, select, update

from concord.adapters.sql.claims import MESSAGES
from concord.adapters.sql.deliveries import DELIVERIES
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.runs import RUNS
from concord.adapters.sql.tables import account_states, connection_slots

# Rows in one transaction: locks are held for a moment, however much a worker held.
_BATCH: Final = 500
_WORKS: Final = (MESSAGES, DELIVERIES, RUNS)


class SqlSlots:
    """Places in the connection budget."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holders(self, prefix: str) -> set[str]:
        """Who holds any of them, of those whose name begins so."""
        worker = connection_slots.c.worker
        wanted = select(worker).where(worker.startswith(prefix, autoescape=True)).distinct()
        with reading(self._engine) as connection:
            return set(connection.execute(wanted).scalars())

    def release(self, holder: str) -> int:
        """Free all that a dead worker holds; how many."""
        with transaction(self._engine) as connection:
            return connection.execute(delete(connection_slots).where(connection_slots.c.worker == holder)).rowcount


class SqlPolls:
    """The leases of polls and backfills."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holders(self, prefix: str) -> set[str]:
        """Who holds any of them, of those whose name begins so."""
        holder = account_states.c.leased_by
        is_theirs = holder.startswith(prefix, autoescape=True)
        wanted = select(holder).where(account_states.c.leased_until.is_not(None), is_theirs).distinct()
        with reading(self._engine) as connection:
            return set(connection.execute(wanted).scalars())

    def release(self, holder: str) -> int:
        """End all leases of a dead worker; how many."""
        theirs = and_(account_states.c.leased_by == holder, account_states.c.leased_until.is_not(None))
        end = update(account_states).where(theirs).values(leased_until=None, fence=account_states.c.fence + 1)
        with transaction(self._engine) as connection:
            return connection.execute(end).rowcount


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
