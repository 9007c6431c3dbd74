"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelt out here and not taken from the code: a migration says what was true when it was written.
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    _accounts()
    _account_states()
    _folders()
    _messages()
    _trail()
    _connection_slots()
    _meta()
    _events()
    _deliveries()
    _workflow_runs()
    _workflow_steps()
    _rules()
    _handlers()
    _workflows()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", BigId, nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("tls", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("auth", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("ca_file", sa.String(), nullable=True),
        sa.Column("folders", Document, nullable=False),
        sa.Column("start", sa.String(), nullable=False),
        sa.Column("after", sa.String(), nullable=False),
        sa.Column("interval", sa.Integer(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("removed_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("key", name=op.f("uq_accounts_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_accounts_living_name",
        "accounts",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )


def _account_states() -> None:
    op.create_table(
        "account_states",
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_success", Moment, nullable=True),
        sa.Column("last_poll", Moment, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_code", sa.Text(), nullable=True),
        sa.Column("last_error_at", Moment, nullable=True),
        sa.Column("next_try", Moment, nullable=True),
        sa.Column("leased_until", Moment, nullable=True),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_states_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_states")),
    )


def _folders() -> None:
    op.create_table(
        "folders",
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("last_uid", sa.BigInteger(), nullable=False),
        sa.Column("backfill_next", sa.BigInteger(), nullable=True),
        sa.Column("backfill_low", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", Moment, nullable=False),
        sa.Column("uidnext", sa.BigInteger(), nullable=True),
        sa.Column("messages", sa.BigInteger(), nullable=True),
        sa.Column("modseq", sa.BigInteger(), nullable=True),
        sa.Column("checked_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_folders_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "folder", name=op.f("pk_folders")),
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", BigId, nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("archive_key", sa.String(), nullable=True),
        sa.Column("internal_date", Moment, nullable=True),
        sa.Column("flags", Document, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("sent_at", Moment, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("gave_up_version", sa.String(), nullable=True),
        sa.Column("due_at", Moment, nullable=True),
        sa.Column("leased_until", Moment, nullable=True),
        sa.Column("queued_at", Moment, nullable=True),
        sa.Column("after", sa.String(), nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.Column("processed_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_messages_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint(
            "account_id", "folder", "uidvalidity", "uid", name=op.f("uq_messages_account_id_folder_uidvalidity_uid")
        ),
        sa.UniqueConstraint("event_id", name=op.f("uq_messages_event_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_messages_account_id_folder_sha256"), "messages", ["account_id", "folder", "sha256"], unique=False
    )
    op.create_index(op.f("ix_messages_account_id_id"), "messages", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_messages_after_pending",
        "messages",
        ["account_id", "folder", "uidvalidity", "id"],
        unique=False,
        sqlite_where=sa.text("after = 'pending'"),
        postgresql_where=sa.text("after = 'pending'"),
    )
    op.create_index(op.f("ix_messages_message_id"), "messages", ["message_id"], unique=False)
    op.create_index(op.f("ix_messages_state_id"), "messages", ["state", "id"], unique=False)
    op.create_index(
        "ix_messages_unfetched",
        "messages",
        ["account_id", "folder", "uidvalidity", "due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'unfetched'"),
        postgresql_where=sa.text("state = 'unfetched'"),
    )
    op.create_index(
        "ix_messages_waiting",
        "messages",
        ["priority", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('archived', 'processing')"),
        postgresql_where=sa.text("state IN ('archived', 'processing')"),
    )


def _trail() -> None:
    op.create_table(
        "trail",
        sa.Column("id", BigId, nullable=False),
        sa.Column("message_id", BigId, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("detail", Document, nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_trail_message_id_messages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trail")),
    )
    op.create_index(op.f("ix_trail_message_id_id"), "trail", ["message_id", "id"], unique=False)


def _connection_slots() -> None:
    op.create_table(
        "connection_slots",
        sa.Column("id", BigId, nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("leased_until", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_slots")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_connection_slots_host_login"), "connection_slots", ["host", "login"], unique=False)


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", BigId, nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("time", Moment, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("archive_key", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_events_message_id_messages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("message_id", name=op.f("uq_events_message_id")),
    )
    op.create_index(op.f("ix_events_account_created_at_id"), "events", ["account", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_events_created_at_id"), "events", ["created_at", "id"], unique=False)


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", BigId, nullable=False),
        sa.Column("handler", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("leased_until", Moment, nullable=True),
        sa.Column("queued_at", Moment, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("delivered_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_deliveries_event_id_events")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_deliveries_message_id_messages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("event_id", "handler", "run", name=op.f("uq_deliveries_event_id_handler_run")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_deliveries_handler_id"), "deliveries", ["handler", "id"], unique=False)
    op.create_index(op.f("ix_deliveries_state_id"), "deliveries", ["state", "id"], unique=False)
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'delivering')"),
        postgresql_where=sa.text("state IN ('pending', 'delivering')"),
    )


def _workflow_runs() -> None:
    op.create_table(
        "workflow_runs",
        sa.Column("id", BigId, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", BigId, nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("leased_until", Moment, nullable=True),
        sa.Column("queued_at", Moment, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("finished_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_workflow_runs_event_id_events")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_workflow_runs_message_id_messages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_runs")),
        sa.UniqueConstraint("event_id", "workflow", name=op.f("uq_workflow_runs_event_id_workflow")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_workflow_runs_state_id"), "workflow_runs", ["state", "id"], unique=False)
    op.create_index(
        "ix_workflow_runs_waiting",
        "workflow_runs",
        ["due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'running')"),
        postgresql_where=sa.text("state IN ('pending', 'running')"),
    )


def _workflow_steps() -> None:
    op.create_table(
        "workflow_steps",
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("options", Document, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("output", Document, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("finished_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["workflow_runs.id"], name=op.f("fk_workflow_steps_run_id_workflow_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_workflow_steps")),
    )


def _rules() -> None:
    op.create_table(
        "rules",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("match", Document, nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=True),
        sa.Column("handlers", Document, nullable=False),
        sa.Column("workflows", Document, nullable=False),
        sa.Column("skip", sa.Boolean(), nullable=False),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_rules_name")),
    )


def _handlers() -> None:
    op.create_table(
        "handlers",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("options", Document, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handlers")),
        sa.UniqueConstraint("name", name=op.f("uq_handlers_name")),
    )


def _workflows() -> None:
    op.create_table(
        "workflows",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("steps", Document, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
        sa.UniqueConstraint("name", name=op.f("uq_workflows_name")),
    )
