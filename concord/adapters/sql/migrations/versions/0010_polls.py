"""Polls know when they began, whose they are and who waits for them."""

from __future__ import annotations

import sqlalchemy as sa

from concord.adapters.sql.migrations.online import add_columns

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add columns that old code may leave alone."""
    add_columns(
        "account_states",
        sa.Column("leased_by", sa.String(), nullable=True),
        sa.Column("begun_at", Moment, nullable=True),
        sa.Column("poll_waits", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
