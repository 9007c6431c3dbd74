"""The tables of who may do what on the admin site: users, their sessions and tokens, and what slows a guesser down."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from concord.adapters.sql.clean import LINE
from concord.adapters.sql.tables import metadata
from concord.adapters.sql.types import BigId, CleanJson, CleanText, UtcDateTime

users: Final = Table(
    "users",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    # argon2id in its own notation, parameters and salt included.
    Column("password", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("password_at", UtcDateTime, nullable=False),
    Column("last_login_at", UtcDateTime),
    sqlite_autoincrement=True,
)

# Of secrets that a browser or a program carries only the SHA-256 is kept: they have 256 random bits, so that nothing
# slower is needed.
sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # After a rotation the old one is good for some seconds more: requests under way carry it.
    Column("former", LargeBinary, unique=True),
    Column("former_until", UtcDateTime),
    # What a form must bring along; it stays while the cookie's value changes.
    Column("csrf", String, nullable=False),
    Column("user_id", BigId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("rotated_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("address", CleanText(LINE), nullable=False),
    Column("agent", CleanText(LINE), nullable=False),
    # When its user last gave the password: what is sensitive asks for it again.
    Column("proved_at", UtcDateTime),
    Index(None, "user_id"),
    sqlite_autoincrement=True,
)

# Browsers that a user has signed in with: guessers elsewhere do not slow them down. One browser may be several users'.
known_browsers: Final = Table(
    "known_browsers",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("user_id", BigId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    UniqueConstraint("digest", "user_id"),
    Index(None, "user_id"),
    sqlite_autoincrement=True,
)

api_tokens: Final = Table(
    "api_tokens",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # Its first characters, by which its owner knows it.
    Column("hint", String, nullable=False),
    Column("name", CleanText(LINE), nullable=False),
    Column("user_id", BigId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("scopes", CleanJson, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index(None, "user_id"),
    sqlite_autoincrement=True,
)

# Attempts by what they are counted for: a login name, a network, a known browser.
throttles: Final = Table(
    "throttles",
    metadata,
    Column("key", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
)

# What an API call with an Idempotency-Key answered, so that its repetition answers the same and does nothing.
idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("owner", String, nullable=False),
    Column("key", String, nullable=False),
    # Of method, path and body: the key of one call is not another's.
    Column("fingerprint", String, nullable=False),
    # None while the first call is under way.
    Column("status", Integer),
    Column("headers", CleanJson, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner", "key"),
    Index(None, "created_at"),
    sqlite_autoincrement=True,
)
