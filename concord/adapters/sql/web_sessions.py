"""Sessions of browsers: what a cookie's value stands for, how long, and its change while in use.

Lifetimes follow OWASP's session management cheat sheet: an idle limit, an absolute limit, renewal under way. Only the
SHA-256 of a value is kept; the value has 256 random bits.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Row, Select, delete, insert, or_, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import sessions, users
from concord.adapters.sql.users import user_columns, user_of
from concord.model.user import WebSession
from concord.ports import Clock

# Requests under way when the value changed still carry the former one.
_FORMER_SECONDS: Final = timedelta(seconds=60)
_ROTATE_AFTER: Final = timedelta(minutes=15)
# Looking at pages must not write a row for each.
_SEEN_EVERY: Final = timedelta(seconds=30)
_OF_USER: Final = "of_user_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A session, and the value that its cookie shall have from now on, where that changes."""

    session: WebSession
    renewed: str | None = None


class SqlSessions:
    """Begins, finds and ends sessions."""

    def __init__(self, engine: Engine, clock: Clock, *, idle: timedelta, absolute: timedelta) -> None:
        self._engine = engine
        self._clock = clock
        self._idle = idle
        self._absolute = absolute

    def begin(self, user_id: int, *, address: str, agent: str) -> str:
        """A fresh session; the cookie's value."""
        value, now = _fresh(), self._clock()
        row = {
            "digest": digest(value),
            "csrf": _fresh(),
            "user_id": user_id,
            "created_at": now,
            "rotated_at": now,
            "seen_at": now,
            "proved_at": now,
            "address": address,
            "agent": agent[:300],
        }
        with transaction(self._engine) as connection:
            connection.execute(delete(sessions).where(self._is_over(now)))
            connection.execute(insert(sessions).values(row))
        return value

    def find(self, value: str) -> Found | None:
        """The living session of an enabled user; renewed where its value is old."""
        now, given = self._clock(), digest(value)
        is_it = or_(sessions.c.digest == given, (sessions.c.former == given) & (sessions.c.former_until > now))
        with reading(self._engine) as connection:
            row = connection.execute(_query().where(is_it, users.c.enabled, ~self._is_over(now))).one_or_none()
        if row is None:
            return None
        if row.digest == given and now - row.rotated_at > _ROTATE_AFTER:
            return Found(session=_session_of(row), renewed=self._rotate(row.id, given, now))
        if now - row.seen_at > _SEEN_EVERY:
            with transaction(self._engine) as connection:
                connection.execute(update(sessions).where(sessions.c.id == row.id).values(seen_at=now))
        return Found(session=_session_of(row))

    def end(self, session_id: int, *, user_id: int | None = None) -> bool:
        """Sign out; only where it is that user's, if one is said."""
        mine = sessions.c.id == session_id
        if user_id is not None:
            mine &= sessions.c.user_id == user_id
        with transaction(self._engine) as connection:
            return connection.execute(delete(sessions).where(mine)).rowcount == 1

    def prove(self, session_id: int) -> None:
        """Its user has just given the password again."""
        with transaction(self._engine) as connection:
            mine = sessions.c.id == session_id
            connection.execute(update(sessions).where(mine).values(proved_at=self._clock()))

    def of(self, user_id: int) -> list[WebSession]:
        """A user's, the one last used first."""
        living = _query().where(sessions.c.user_id == user_id, ~self._is_over(self._clock()))
        with reading(self._engine) as connection:
            return [_session_of(row) for row in connection.execute(living.order_by(sessions.c.seen_at.desc()))]

    def _rotate(self, session_id: int, former: bytes, now: datetime) -> str | None:
        """None where another request was quicker: its answer carries the new value."""
        value = _fresh()
        values = {
            "digest": digest(value),
            "former": former,
            "former_until": now + _FORMER_SECONDS,
            "rotated_at": now,
            "seen_at": now,
        }
        mine = (sessions.c.id == session_id) & (sessions.c.digest == former)
        with transaction(self._engine) as connection:
            return value if connection.execute(update(sessions).where(mine).values(values)).rowcount else None

    def _is_over(self, now: datetime) -> ColumnElement[bool]:
        return or_(sessions.c.seen_at < now - self._idle, sessions.c.created_at < now - self._absolute)


def digest(value: str) -> bytes:
    """What is kept of a value."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def _fresh() -> str:
    return secrets.token_urlsafe(32)


def _query() -> Select[Any]:
    return select(sessions, *user_columns(_OF_USER)).join(users)


def _session_of(row: Row[Any]) -> WebSession:
    return WebSession(
        id=row.id,
        csrf=row.csrf,
        user=user_of(row, _OF_USER),
        created_at=row.created_at,
        rotated_at=row.rotated_at,
        seen_at=row.seen_at,
        address=row.address,
        agent=row.agent,
        proved_at=row.proved_at,
    )
