"""Certificate authorities that were pasted on a page, with their account."""

from __future__ import annotations

import sqlalchemy as sa

from concord.adapters.sql.migrations.online import add_columns

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column that old code may leave alone."""
    add_columns("accounts", sa.Column("ca_pem", sa.String(), nullable=True))
