"""Keys are rotated in two phases: the ring hands the new key to daemons that run, and they report it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "key_rotations",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("begun_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_rotations")),
    )
    op.create_table(
        "key_ring",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("wrapped_by", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "wrapped_by", name=op.f("pk_key_ring")),
    )
    op.create_table(
        "key_reports",
        sa.Column("daemon", sa.String(), nullable=False),
        sa.Column("own", sa.String(), nullable=False),
        sa.Column("opens", sa.String(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("seen_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("daemon", name=op.f("pk_key_reports")),
    )
