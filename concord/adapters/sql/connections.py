"""The connection budget of the whole cluster: a row for each connection, held by a lease that lapses (A6).

A worker renews its leases for as long as its connections are open. One that is only kept for later is given up where
another worker asks for it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, or_, select, update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.tables import connection_slots
from concord.model.worker import FindWorker, holder, no_worker
from concord.ports import Clock, KeptSlots

# Two readings of the clock may differ by so much of a lease's span.
_LONGEST = 2


class SqlConnections:
    """Slots in the database."""

    def __init__(self, engine: Engine, clock: Clock, worker: FindWorker = no_worker) -> None:
        self._engine = engine
        self._clock = clock
        self._worker = worker

    def acquire(self, host: str, login: str, *, per_login: int, per_host: int, until: datetime) -> int | None:
        """Take a slot; its number, or None where all are in use."""
        host = host.lower()
        now = self._clock()
        with transaction(self._engine) as connection:
            _take_turns(connection, host)
            here = connection_slots.c.host == host
            # One that ends further ahead than leases last was taken by a clock that was ahead.
            lapsed = or_(
                connection_slots.c.leased_until <= now,
                connection_slots.c.leased_until > now + _LONGEST * (until - now),
            )
            connection.execute(delete(connection_slots).where(here, lapsed))
            counted = select(connection_slots.c.login, func.count().label("slots")).where(here)
            rows = connection.execute(counted.group_by(connection_slots.c.login))
            used: dict[str, int] = {row.login: row.slots for row in rows}
            if used.get(login, 0) >= per_login or sum(used.values()) >= per_host:
                return None
            values = {"host": host, "login": login, "leased_until": until, "worker": holder(self._worker)}
            take = insert(connection_slots).values(values)
            return int(connection.execute(take.returning(connection_slots.c.id)).scalar_one())

    def ask(self, host: str, login: str, *, per_login: int) -> bool:
        """Ask for a slot that a connection kept for later fills; whether there is one."""
        here = connection_slots.c.host == host.lower()
        ours = connection_slots.c.login == login
        with transaction(self._engine) as connection:
            counted = select(func.count()).select_from(connection_slots).where(here, ours)
            is_full = connection.execute(counted).scalar_one() >= per_login
            spare = select(connection_slots.c.id).where(here, connection_slots.c.idle)
            # What was asked for already comes first: to ask twice gives up one.
            spare = spare.order_by(connection_slots.c.wanted.desc(), ours.desc(), connection_slots.c.id).limit(1)
            if is_full:
                spare = spare.where(ours)
            found = connection.execute(spare).scalar_one_or_none()
            if found is None:
                return False
            connection.execute(update(connection_slots).where(connection_slots.c.id == found).values(wanted=True))
            return True

    def renew(self, slots: Collection[int], *, idle: Collection[int], until: datetime) -> KeptSlots:
        """Keep them longer, and say which of them are idle. One that lapsed stays lapsed: another may count on it."""
        if not slots:
            return KeptSlots()
        # In one order, so that two renewals cannot wait for each other.
        ours = (
            select(connection_slots.c.id)
            .where(connection_slots.c.id.in_(slots), connection_slots.c.leased_until > self._clock())
            .order_by(connection_slots.c.id)
            .with_for_update()
        )
        renew = (
            update(connection_slots)
            .where(connection_slots.c.id.in_(ours))
            .values(leased_until=until, idle=connection_slots.c.id.in_(idle))
            .returning(connection_slots.c.id, connection_slots.c.wanted)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(renew).all()
        return KeptSlots(kept=frozenset(row.id for row in rows), wanted=frozenset(row.id for row in rows if row.wanted))

    def release(self, slot: int) -> None:
        """Give it back, if it is still there."""
        with transaction(self._engine) as connection:
            connection.execute(delete(connection_slots).where(connection_slots.c.id == slot))


def _take_turns(connection: Connection, host: str) -> None:
    """Counting and taking are one step for each host. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"concord {host}", 0))))
