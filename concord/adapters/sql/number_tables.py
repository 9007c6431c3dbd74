"""The table of the numbers that the overview plots."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Float, Integer, String, Table

from concord.adapters.sql.tables import metadata
from concord.adapters.sql.types import UtcDateTime

# One value of one series: of a minute (step 60) or of an hour (step 3600). The key's order is that of the question.
numbers: Final = Table(
    "numbers",
    metadata,
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("series", String, primary_key=True),
    Column("at", UtcDateTime, primary_key=True),  # the beginning of the minute or hour
    Column("value", Float, nullable=False),
)
