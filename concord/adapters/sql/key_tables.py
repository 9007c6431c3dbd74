"""The tables of the key ring (`concord.model.key_ring`)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from concord.adapters.sql.clean import LINE
from concord.adapters.sql.tables import metadata
from concord.adapters.sql.types import CleanText, UtcDateTime

# One row: the newest rotation.
key_rotations: Final = Table(
    "key_rotations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("new", String, nullable=False),  # fingerprints
    Column("old", String, nullable=False),
    Column("phase", String, nullable=False),  # offered, sealing, done
    Column("begun_at", UtcDateTime, nullable=False),
)

# Keys, each sealed with another one: without a key from outside the database none of them opens.
key_ring: Final = Table(
    "key_ring",
    metadata,
    Column("fingerprint", String, primary_key=True),
    Column("wrapped_by", String, primary_key=True),
    Column("link", String, nullable=False),  # next, former
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Which keys each daemon can open secrets with, as fingerprints.
key_reports: Final = Table(
    "key_reports",
    metadata,
    Column("daemon", String, primary_key=True),
    Column("own", String, nullable=False),
    Column("opens", String, nullable=False),
    Column("trouble", CleanText(LINE)),
    Column("seen_at", UtcDateTime, nullable=False),
)
