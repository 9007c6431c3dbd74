"""The connection budget of the whole cluster: a row for each connection in use, held by a lease that lapses (A6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import connection_slots
from concord.ports import Clock


class SqlConnections:
    """Slots in the database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def acquire(self, host: str, login: str, *, per_login: int, per_host: int, until: datetime) -> int | None:
        """Take a slot; its number, or None where all are in use."""
        host = host.lower()
        with transaction(self._engine) as connection:
            _take_turns(connection, host)
            here = connection_slots.c.host == host
            connection.execute(delete(connection_slots).where(here, connection_slots.c.leased_until <= self._clock()))
            counted = select(connection_slots.c.login, func.count().label("slots")).where(here)
            rows = connection.execute(counted.group_by(connection_slots.c.login))
            used: dict[str, int] = {row.login: row.slots for row in rows}
            if used.get(login, 0) >= per_login or sum(used.values()) >= per_host:
                return None
            take = insert(connection_slots).values(host=host, login=login, leased_until=until)
            return int(connection.execute(take.returning(connection_slots.c.id)).scalar_one())

    def renew(self, slots: Sequence[int], until: datetime) -> None:
        """Keep them longer. One that lapsed stays lapsed: another may count on it by now."""
        if not slots:
            return
        # In one order, so that two renewals cannot wait for each other.
        ours = (
            select(connection_slots.c.id)
            .where(connection_slots.c.id.in_(slots), connection_slots.c.leased_until > self._clock())
            .order_by(connection_slots.c.id)
            .with_for_update()
        )
        with transaction(self._engine) as connection:
            connection.execute(
                update(connection_slots).where(connection_slots.c.id.in_(ours)).values(leased_until=until)
            )

    def release(self, slot: int) -> None:
        """Give it back, if it is still there."""
        with transaction(self._engine) as connection:
            connection.execute(delete(connection_slots).where(connection_slots.c.id == slot))


def _take_turns(connection: Connection, host: str) -> None:
    """Counting and taking are one step for each host. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"concord {host}", 0))))
