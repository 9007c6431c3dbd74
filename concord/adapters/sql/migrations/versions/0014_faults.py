"""Rows keep an error as code and facts, in JSON: each reader makes sentences in its own language.

An older version beside this one goes on writing sentences; readers take them as they are.
"""

from __future__ import annotations

from typing import Final

from concord.adapters.sql.migrations.old_errors import rewrite_detail, rewrite_line
from concord.adapters.sql.migrations.online import rewrite_texts

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Table, column, and the integer key that it is changed along.
_PLACES: Final = (
    ("account_states", "last_error", "account_id"),
    ("account_turns", "error", "id"),
    ("oauth_grants", "error", "account_id"),
    ("messages", "error", "id"),
    ("deliveries", "error", "id"),
    ("workflow_runs", "error", "id"),
    ("workflow_steps", "error", "run_id"),
)
_JSON: Final = '{"code": %'


def upgrade() -> None:
    """Rewrite what earlier releases wrote; a line that is not theirs stays."""
    for table, column, key in _PLACES:
        rewrite_texts(table, column, rewrite_line, key=key, where=f"{column} NOT LIKE '{_JSON}'")
    steps = 'CAST(detail AS TEXT) LIKE \'%"error": "%\' OR CAST(detail AS TEXT) LIKE \'%"reason": "%\''
    rewrite_texts("trail", "detail", rewrite_detail, where=steps)
