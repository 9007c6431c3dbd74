"""Polls know when they began, whose they are and who waits for them; connections have owners; clocks are compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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
    add_columns(
        "connection_slots",
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("idle", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("wanted", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "host_clocks",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("ahead", sa.Float(), nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_host_clocks")),
        if_not_exists=True,
    )
