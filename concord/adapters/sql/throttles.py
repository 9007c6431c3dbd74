"""What slows a guesser down: attempts counted by key, in the database, so that a restart forgets none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, case, delete, func, null, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import throttles
from concord.adapters.sql.upsert import insert_for
from concord.model.throttle import Limit
from concord.ports import Clock

# Attempts are forgotten after so long without one; no pause is longer, and no bucket takes longer to drain.
MEMORY: Final = timedelta(hours=1)


class SqlThrottle:
    """Counts attempts, before they are looked at: of many at once, none comes through for free."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def attempt(self, limits: Sequence[Limit]) -> timedelta:
        """Count one attempt under each limit; zero, or how long to wait because one of them is used up.

        A refused attempt counts nowhere: a stranger cannot keep somebody out for ever.
        """
        wait = self._wait(limits)
        if wait:
            return wait
        now = self._clock()
        with transaction(self._engine) as connection:
            connection.execute(delete(throttles).where(throttles.c.since < now - MEMORY))
            kept = _locked(connection, [limit.key for limit in limits], now)
            wait = max(limit.wait(kept[limit.key].until, now) for limit in limits)
            if wait:
                return wait
            for limit in limits:
                row = kept[limit.key]
                until = limit.until(row.failures + 1, row.until, now)
                values = {"failures": row.failures + 1, "since": now, "until": until}
                connection.execute(update(throttles).where(throttles.c.key == limit.key).values(values))
        return timedelta()

    def attempts(self, key: str) -> int:
        """How many are counted under a key."""
        wanted = select(throttles.c.failures).where(throttles.c.key == key, throttles.c.since >= self._clock() - MEMORY)
        with reading(self._engine) as connection:
            return connection.execute(wanted).scalar_one_or_none() or 0

    def refund(self, *keys: str) -> None:
        """Take back one attempt under each key, and the pause that it began: it was no guess."""
        one_less = case((throttles.c.failures > 0, throttles.c.failures - 1), else_=0)
        with transaction(self._engine) as connection:
            mine = throttles.c.key.in_(keys)
            connection.execute(update(throttles).where(mine).values(failures=one_less, until=null()))

    def forget(self, *keys: str) -> None:
        """No attempt was a guess."""
        with transaction(self._engine) as connection:
            connection.execute(delete(throttles).where(throttles.c.key.in_(keys)))

    def size(self) -> int:
        """How many keys are kept."""
        with reading(self._engine) as connection:
            return connection.execute(select(func.count()).select_from(throttles)).scalar_one()

    def _wait(self, limits: Sequence[Limit]) -> timedelta:
        """A look without a lock: most attempts of a crowd end here, and leave no row behind."""
        now = self._clock()
        wanted = select(throttles.c.key, throttles.c.until).where(throttles.c.key.in_([one.key for one in limits]))
        with reading(self._engine) as connection:
            kept = {row.key: row.until for row in connection.execute(wanted)}
        return max(limit.wait(kept.get(limit.key), now) for limit in limits)


def _locked(connection: Connection, keys: Sequence[str], now: Any) -> dict[str, Row[Any]]:
    """The rows, made where they are missing, and locked in one order, so that no two attempts wait for each other."""
    ordered = sorted(keys)
    for key in ordered:
        put = insert_for(connection, throttles).values(key=key, failures=0, since=now, until=None)
        connection.execute(put.on_conflict_do_nothing())
    wanted = select(throttles).where(throttles.c.key.in_(ordered)).order_by(throttles.c.key).with_for_update()
    return {row.key: row for row in connection.execute(wanted)}
