"""What slows a guesser down: attempts counted by name and address, in the database, so that a restart forgets none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, delete, select

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import throttles
from concord.adapters.sql.upsert import insert_for
from concord.ports import Clock

# Attempts are forgotten after so long without one.
_MEMORY: Final = timedelta(minutes=15)
_FIRST_PAUSE: Final = timedelta(seconds=2)
_LONGEST_PAUSE: Final = timedelta(minutes=15)


class SqlThrottle:
    """Counts attempts, before they are looked at: of many at once, none comes through for free."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def attempt(self, limits: Mapping[str, int]) -> timedelta:
        """Count one attempt under each key; zero, or how long to wait because one of them has used up its limit.

        A refused attempt does not lengthen the pause: a stranger cannot keep somebody out for ever.
        """
        now = self._clock()
        with transaction(self._engine) as connection:
            connection.execute(delete(throttles).where(throttles.c.since < now - _MEMORY))
            kept = {row.key: row for row in connection.execute(_locked(limits))}
            waits: list[timedelta] = [kept[key].until - now for key in limits if key in kept and kept[key].until]
            if any(wait > timedelta() for wait in waits):
                return max(waits)
            for key, free in limits.items():
                failures = kept[key].failures + 1 if key in kept else 1
                _write(connection, key, failures, now, _until(failures - free, now))
        return timedelta()

    def is_held(self, key: str) -> bool:
        """Whether attempts under this key must wait just now. Counts none."""
        wanted = select(throttles.c.key).where(throttles.c.key == key, throttles.c.until > self._clock())
        with reading(self._engine) as connection:
            return connection.execute(wanted).first() is not None

    def forget(self, *keys: str) -> None:
        """It was no guess."""
        with transaction(self._engine) as connection:
            connection.execute(delete(throttles).where(throttles.c.key.in_(keys)))


def _locked(limits: Mapping[str, int]) -> Select[Any]:
    return select(throttles).where(throttles.c.key.in_(list(limits))).with_for_update()


def _until(over: int, now: datetime) -> datetime | None:
    """The pause doubles with each attempt from the limit on."""
    if over < 0:
        return None
    pause: timedelta = min(_FIRST_PAUSE * 2 ** min(over, 20), _LONGEST_PAUSE)
    return now + pause


def _write(connection: Connection, key: str, failures: int, now: datetime, until: datetime | None) -> None:
    values = {"failures": failures, "since": now, "until": until}
    put = insert_for(connection, throttles).values(key=key, **values)
    connection.execute(put.on_conflict_do_update(index_elements=[throttles.c.key], set_=values))
