"""Known browsers of users, and when a session last proved its user's password."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from concord.adapters.sql.migrations.online import add_columns

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add a table and a column that old code may leave alone."""
    add_columns("sessions", sa.Column("proved_at", Moment, nullable=True))
    op.create_table(
        "known_browsers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_known_browsers_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_known_browsers")),
        sa.UniqueConstraint("digest", "user_id", name=op.f("uq_known_browsers_digest_user_id")),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index(op.f("ix_known_browsers_user_id"), "known_browsers", ["user_id"], unique=False, if_not_exists=True)
