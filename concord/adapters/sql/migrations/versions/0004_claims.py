"""Claims belong to a worker, say where in its work it is, and blame only with proof."""

from __future__ import annotations

import sqlalchemy as sa

from concord.adapters.sql.migrations import online

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with constant defaults: instant, however many rows there are."""
    for table in ("messages", "deliveries", "workflow_runs"):
        online.add_columns(table, sa.Column("suspect", sa.Boolean(), server_default=sa.false(), nullable=False))
        online.add_columns(table, sa.Column("stage", sa.String(), nullable=True))
        online.add_columns(table, sa.Column("claimed_by", sa.String(), nullable=True))
    online.add_columns("messages", sa.Column("retried_version", sa.String(), nullable=True))
