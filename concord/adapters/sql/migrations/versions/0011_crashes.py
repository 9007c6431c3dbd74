"""Polls that were not seen to end are counted, and a folder knows which message is being fetched alone."""

from __future__ import annotations

import sqlalchemy as sa

from concord.adapters.sql.migrations.online import add_columns

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that old code may leave alone."""
    add_columns(
        "account_states",
        sa.Column("open_polls", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("open_background", sa.Integer(), nullable=False, server_default="0"),
    )
    add_columns("folders", sa.Column("fetching_uid", sa.BigInteger(), nullable=True))
