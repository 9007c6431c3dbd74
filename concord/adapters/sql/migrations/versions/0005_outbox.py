"""Deliveries carry their message's priority and go out by handler."""

from __future__ import annotations

import sqlalchemy as sa

from concord.adapters.sql.migrations.online import add_columns, create_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with constant defaults, and indexes of the few rows that wait."""
    add_columns(
        "deliveries",
        sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
    )
    add_columns("workflow_runs", sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False))
    waiting = "state IN ('pending', 'delivering')"
    create_index("ix_deliveries_next", "deliveries", ["priority", "due_at", "id"], where=waiting)
    create_index("ix_deliveries_held", "deliveries", ["handler", "id"], where="held")
