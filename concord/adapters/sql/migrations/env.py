"""Alembic's entry point: on the connection that `schema.upgrade` gives it.

A transaction for each migration, so that `online.py` can change big tables outside of any; where the connection is in
one already (SQLite), all migrations are part of that.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], render_as_batch=True, transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
