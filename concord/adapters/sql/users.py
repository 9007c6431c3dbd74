"""Users of the admin site, in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Label, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.identity_tables import api_tokens, known_browsers, sessions, users
from concord.errors import ConflictError, ExistsError, NotFoundError
from concord.model.user import Role, User
from concord.ports import Clock


class SqlUsers:
    """Adds, finds and changes users."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def all(self) -> list[User]:
        """By name."""
        with reading(self._engine) as connection:
            return [user_of(row) for row in connection.execute(select(users).order_by(users.c.name))]

    def get(self, name: str) -> User:
        """Raises NotFoundError."""
        found = self.find(name)
        if found is None:
            raise NotFoundError("user", user=name)
        return found

    def find(self, name: str) -> User | None:
        """By name."""
        with reading(self._engine) as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
        return None if row is None else user_of(row)

    def is_empty(self) -> bool:
        """Whether nobody can sign in yet."""
        with reading(self._engine) as connection:
            return connection.execute(select(users.c.id).limit(1)).first() is None

    def add(self, name: str, role: Role, password: str) -> User:
        """`password` is a hash. Raises ExistsError."""
        now = self._clock()
        values = {
            "name": name,
            "role": role.value,
            "password": password,
            "enabled": True,
            "created_at": now,
            "password_at": now,
        }
        try:
            with transaction(self._engine) as connection:
                row = connection.execute(insert(users).values(values).returning(users)).one()
        except IntegrityError as error:
            raise ExistsError("user", user=name) from error
        return user_of(row)

    def change(self, name: str, *, role: Role | None = None, enabled: bool | None = None) -> User:
        """Raises NotFoundError; ConflictError where nobody would be left who may change users."""
        values: dict[str, Any] = {} if role is None else {"role": role.value}
        values |= {} if enabled is None else {"enabled": enabled}
        return self._change(name, values)

    def set_password(self, name: str, password: str, *, keeps_tokens: bool) -> User:
        """`password` is a hash. All that the old one opened ends: sessions, known browsers and, unless kept, tokens."""
        now = self._clock()
        return self._change(name, {"password": password, "password_at": now}, ends=True, revokes=not keeps_tokens)

    def rehash(self, user_id: int, before: str, after: str) -> None:
        """The same password, kept better; unless it was changed meanwhile."""
        with transaction(self._engine) as connection:
            same = (users.c.id == user_id) & (users.c.password == before)
            connection.execute(update(users).where(same).values(password=after))

    def signed_in(self, user_id: int, at: datetime) -> None:
        """Remember when."""
        with transaction(self._engine) as connection:
            connection.execute(update(users).where(users.c.id == user_id).values(last_login_at=at))

    def remove(self, name: str) -> None:
        """With all sessions and tokens. Raises as `change`."""
        with transaction(self._engine) as connection:
            gone = connection.execute(delete(users).where(users.c.name == name)).rowcount
            if not gone:
                raise NotFoundError("user", user=name)
            _refuse_lockout(connection, name)

    def _change(self, name: str, values: dict[str, Any], *, ends: bool = False, revokes: bool = False) -> User:
        with transaction(self._engine) as connection:
            changed = update(users).where(users.c.name == name).values(values).returning(users)
            row = connection.execute(changed if values else select(users).where(users.c.name == name)).one_or_none()
            if row is None:
                raise NotFoundError("user", user=name)
            _refuse_lockout(connection, name)
            if ends or not row.enabled:
                connection.execute(delete(sessions).where(sessions.c.user_id == row.id))
            if ends:
                connection.execute(delete(known_browsers).where(known_browsers.c.user_id == row.id))
            if revokes:
                living = (api_tokens.c.user_id == row.id) & api_tokens.c.revoked_at.is_(None)
                connection.execute(update(api_tokens).where(living).values(revoked_at=self._clock()))
        return user_of(row)


def _refuse_lockout(connection: Connection, name: str) -> None:
    """Inside the transaction, which the error takes back."""
    left = select(func.count()).select_from(users).where(users.c.role == Role.ADMIN.value, users.c.enabled)
    if connection.execute(left).scalar_one() == 0:
        raise ConflictError("last_admin", user=name)


def user_columns(prefix: str) -> Iterator[Label[Any]]:
    """A user's columns beside others of the same names."""
    return (column.label(f"{prefix}{column.name}") for column in users.c)


def user_of(row: Row[Any], prefix: str = "") -> User:
    """The user a row says."""
    said = {column.name: getattr(row, f"{prefix}{column.name}") for column in users.c}
    return User(**said | {"role": Role(said["role"])})
