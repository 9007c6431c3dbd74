"""The tables of what follows from a message: events, deliveries, workflow runs; and the rules that decide it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    false,
)
from sqlalchemy import text as sql_text

from concord.adapters.sql.clean import LINE, REASON
from concord.adapters.sql.tables import claim_columns, metadata, partial
from concord.adapters.sql.types import BigId, CleanJson, CleanText, PriorityRank, UtcDateTime

# As the questions write it, word for word, so that the partial indexes serve them.
DELIVERIES_WAITING: Final = sql_text("deliveries.state IN ('pending', 'delivering')")
RUNS_WAITING: Final = sql_text("workflow_runs.state IN ('pending', 'running')")

events: Final = Table(
    "events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_id", BigId, ForeignKey("messages.id"), nullable=False, unique=True),
    Column("account", String, nullable=False),
    Column("type", String, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("subject", CleanText(LINE), nullable=False),
    Column("sender", CleanText(LINE), nullable=False),
    Column("archive_key", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "created_at", "id"),
    Index(None, "account", "created_at", "id"),
)

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.id"), nullable=False),
    Column("message_id", BigId, ForeignKey("messages.id"), nullable=False),
    Column("handler", String, nullable=False),
    # 0 for the first round; counts replays.
    Column("run", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("due_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime),
    Column("queued_at", UtcDateTime),
    *claim_columns(),
    Column("priority", PriorityRank, nullable=False, server_default="1"),
    # Waits for its handler to be enabled, or to be there: due, and yet offered to nobody.
    Column("held", Boolean, nullable=False, server_default=false()),
    Column("error", CleanText(REASON)),
    Column("error_code", String),
    Column("created_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    UniqueConstraint("event_id", "handler", "run"),
    Index(None, "created_at", "id"),
    Index(None, "state", "created_at", "id"),
    Index(None, "handler", "created_at", "id"),
    partial("ix_deliveries_next", "state IN ('pending', 'delivering')", "priority", "due_at", "id"),
    partial("ix_deliveries_held", "held", "handler", "id"),
    partial("ix_deliveries_waiting", "state IN ('pending', 'delivering')", "due_at", "id"),
    sqlite_autoincrement=True,
)

workflow_runs: Final = Table(
    "workflow_runs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.id"), nullable=False),
    Column("message_id", BigId, ForeignKey("messages.id"), nullable=False),
    Column("workflow", String, nullable=False),
    Column("state", String, nullable=False),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("due_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime),
    Column("queued_at", UtcDateTime),
    *claim_columns(),
    Column("priority", PriorityRank, nullable=False, server_default="1"),
    Column("error", CleanText(REASON)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    # At most one run per event and workflow (P9).
    UniqueConstraint("event_id", "workflow"),
    Index(None, "created_at", "id"),
    Index(None, "state", "created_at", "id"),
    partial("ix_workflow_runs_waiting", "state IN ('pending', 'running')", "due_at", "id"),
    sqlite_autoincrement=True,
)

# A run's own copy of its workflow, and what came of each step.
workflow_steps: Final = Table(
    "workflow_steps",
    metadata,
    Column("run_id", BigId, ForeignKey("workflow_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("options", CleanJson, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("output", CleanJson, nullable=False),
    Column("error", CleanText(REASON)),
    Column("finished_at", UtcDateTime),
)

rules: Final = Table(
    "rules",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("position", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("match", CleanJson, nullable=False),
    Column("priority", PriorityRank),
    Column("handlers", CleanJson, nullable=False),
    Column("workflows", CleanJson, nullable=False),
    Column("skip", Boolean, nullable=False),
    Column("stop", Boolean, nullable=False),
)

handlers: Final = Table(
    "handlers",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("options", CleanJson, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("enabled", Boolean, nullable=False),
)

workflows: Final = Table(
    "workflows",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("steps", CleanJson, nullable=False),
    Column("enabled", Boolean, nullable=False),
)
