"""API tokens: a program's way in. Only the SHA-256 of a token is kept; it has 256 random bits."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row, Select, insert, or_, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import api_tokens, users
from concord.adapters.sql.users import user_columns, user_of
from concord.adapters.sql.web_sessions import digest
from concord.errors import NotFoundError
from concord.model.user import ApiToken, Permission, User
from concord.ports import Clock

# Scanners that look for leaked secrets know a token by its first letters.
PREFIX: Final = "concord_"
_SHOWN: Final = len(PREFIX) + 6
_USED_EVERY: Final = timedelta(seconds=60)
_OF_USER: Final = "of_user_"


class SqlApiTokens:
    """Makes, finds and revokes tokens."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def add(
        self, name: str, user: User, scopes: Iterable[Permission], *, expires_at: datetime | None
    ) -> tuple[str, ApiToken]:
        """The token, which is never to be had again, and what is kept of it."""
        token = f"{PREFIX}{secrets.token_urlsafe(32)}"
        row = {
            "digest": digest(token),
            "hint": token[:_SHOWN],
            "name": name,
            "user_id": user.id,
            "scopes": sorted(scopes),
            "created_at": self._clock(),
            "expires_at": expires_at,
        }
        with transaction(self._engine) as connection:
            made = connection.execute(insert(api_tokens).values(row).returning(api_tokens.c.id)).scalar_one()
            kept = connection.execute(_query().where(api_tokens.c.id == made)).one()
        return token, _token_of(kept)

    def find(self, token: str) -> tuple[ApiToken, User] | None:
        """A token that is good now, of an enabled user."""
        now = self._clock()
        is_good = (
            (api_tokens.c.digest == digest(token))
            & api_tokens.c.revoked_at.is_(None)
            & or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > now)
            & users.c.enabled
        )
        with reading(self._engine) as connection:
            row = connection.execute(_query().where(is_good)).one_or_none()
        if row is None:
            return None
        self._used(row, now)
        return _token_of(row), _user_of(row)

    def all(self, *, user_id: int | None = None) -> list[ApiToken]:
        """The newest first; of one user, if said."""
        wanted = _query() if user_id is None else _query().where(api_tokens.c.user_id == user_id)
        with reading(self._engine) as connection:
            return [_token_of(row) for row in connection.execute(wanted.order_by(api_tokens.c.id.desc()))]

    def revoke(self, token_id: int, *, user_id: int | None = None) -> ApiToken:
        """From now on it opens nothing; twice is once. Raises NotFoundError, also where it is another user's."""
        mine = api_tokens.c.id == token_id
        if user_id is not None:
            mine &= api_tokens.c.user_id == user_id
        with transaction(self._engine) as connection:
            row = connection.execute(_query().where(mine)).one_or_none()
            if row is None:
                raise NotFoundError("token", token=token_id)
            living = mine & api_tokens.c.revoked_at.is_(None)
            connection.execute(update(api_tokens).where(living).values(revoked_at=self._clock()))
            return _token_of(connection.execute(_query().where(mine)).one())

    def _used(self, row: Row[Any], now: datetime) -> None:
        if row.last_used_at is None or now - row.last_used_at > _USED_EVERY:
            with transaction(self._engine) as connection:
                connection.execute(update(api_tokens).where(api_tokens.c.id == row.id).values(last_used_at=now))


def _query() -> Select[Any]:
    return select(api_tokens, *user_columns(_OF_USER)).join(users)


def _user_of(row: Row[Any]) -> User:
    return user_of(row, _OF_USER)


def _token_of(row: Row[Any]) -> ApiToken:
    return ApiToken(
        id=row.id,
        name=row.name,
        user_id=row.user_id,
        user=_user_of(row).name,
        hint=row.hint,
        scopes=frozenset(Permission(scope) for scope in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
