"""Where a session ended, what became of an after-action, which login a poll used."""

from __future__ import annotations

import sqlalchemy as sa

from concord.adapters.sql.migrations.online import add_columns
from concord.adapters.sql.types import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that old rows and the version before need not know."""
    add_columns(
        "folders",
        sa.Column("visited_at", UtcDateTime()),
        sa.Column("careful_low", sa.BigInteger()),
        sa.Column("careful_high", sa.BigInteger()),
        sa.Column("died_uid", sa.BigInteger()),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
    )
    add_columns("account_states", sa.Column("login_version", sa.Integer(), nullable=False, server_default="0"))
    add_columns(
        "messages",
        sa.Column("after_failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("after_due_at", UtcDateTime()),
        sa.Column("after_code", sa.String()),
        sa.Column("after_copied", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
