"""Column types that keep the model's promises on both databases: UTC times, clean text, priorities that sort."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from concord.adapters.sql.clean import clean, plain
from concord.model.account import Priority

# SQLite counts up by itself only in a column that is exactly INTEGER, which holds 64 bits there anyway.
BigId: Final = BigInteger().with_variant(Integer(), "sqlite")

_RANKS: Final = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
_PRIORITIES: Final = {rank: priority for priority, rank in _RANKS.items()}


class UtcDateTime(TypeDecorator[datetime]):
    """Aware, in UTC. SQLite keeps it as text of one width (`2026-01-31 09:30:00.000000`), so that it sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: nobody can say when they were."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("a time must carry a time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite's text has no zone: it was written in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text from outside, cleaned on its way in and cut to `longest` characters."""

    impl = Text
    cache_ok = True

    def __init__(self, longest: int | None = None) -> None:
        super().__init__()
        self.longest = longest

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean it."""
        del dialect
        return None if value is None else clean(value, self.longest)


class CleanJson(TypeDecorator[Any]):
    """A JSON document; JSONB on PostgreSQL, which refuses NUL inside strings too."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """JSONB where there is one."""
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else JSON())

    def process_bind_param(self, value: object, dialect: Dialect) -> object:
        """Make it plain."""
        del dialect
        return plain(value)


class PriorityRank(TypeDecorator[Priority]):
    """0 is the most urgent, so that ORDER BY does what a person means."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:
        """A priority's place in line."""
        del dialect
        return None if value is None else _RANKS[value]

    def process_result_value(self, value: int | None, dialect: Dialect) -> Priority | None:
        """The priority of that place."""
        del dialect
        return None if value is None else _PRIORITIES[value]
