"""Browsers that a user has signed in with before: guessers elsewhere do not slow them down.

After OWASP's "device cookies". Only the SHA-256 of a cookie's value is kept; the value has 256 random bits.
"""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import known_browsers
from concord.adapters.sql.web_sessions import digest
from concord.ports import Clock

MOST: Final = 10


class SqlKnownBrowsers:
    """Remembers a bounded number of browsers for each user."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def find(self, value: str, user_id: int) -> int | None:
        """The number of the browser with that cookie, where this user has signed in with it."""
        table = known_browsers
        wanted = select(table.c.id).where(table.c.digest == digest(value), table.c.user_id == user_id)
        with reading(self._engine) as connection:
            return connection.execute(wanted).scalar_one_or_none()

    def remember(self, former: str, user_id: int) -> str:
        """The cookie's next value. What others have signed in with in that browser moves to it; the former is void."""
        value, now, table = secrets.token_urlsafe(32), self._clock(), known_browsers
        with transaction(self._engine) as connection:
            moved = update(table).where(table.c.digest == digest(former)).values(digest=digest(value))
            if former:
                connection.execute(moved)
            mine = (table.c.digest == digest(value)) & (table.c.user_id == user_id)
            if connection.execute(update(table).where(mine).values(seen_at=now)).rowcount == 0:
                row = {"digest": digest(value), "user_id": user_id, "seen_at": now}
                connection.execute(insert(table).values(row))
            newest = select(table.c.id).where(table.c.user_id == user_id)
            newest = newest.order_by(table.c.seen_at.desc(), table.c.id.desc()).limit(MOST)
            kept = connection.execute(newest).scalars().all()
            connection.execute(delete(table).where(table.c.user_id == user_id, table.c.id.not_in(kept)))
        return value
