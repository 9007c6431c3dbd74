"""The admin site: who may use it, OAuth2, the numbers it plots; the audit becomes a chain, accounts are reconciled."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)
_TIED = ("actor", "via", "address", "action", "subject", "outcome", "detail")


def upgrade() -> None:
    _users()
    _idempotency_keys()
    _throttles()
    _api_tokens()
    _sessions()
    _oauth_clients()
    _oauth_grants()
    _oauth_requests()
    _numbers()
    op.add_column("accounts", sa.Column("oauth_client", sa.String(), nullable=True))
    op.add_column("account_states", sa.Column("unaccounted", sa.Integer(), nullable=True))
    op.add_column("account_states", sa.Column("reconciled_at", Moment, nullable=True))
    _account_turns()
    op.add_column("folders", sa.Column("begun_uid", sa.BigInteger(), nullable=True))
    _say_whose_mail_is_ours()
    op.create_index(op.f("ix_trail_at"), "trail", ["at"], unique=False)
    _lists()
    op.add_column("audit", sa.Column("address", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("audit", sa.Column("hash", sa.String(), nullable=True))
    for column in ("actor", "subject"):
        op.create_index(op.f(f"ix_audit_{column}_id"), "audit", [column, "id"], unique=False)
    _chain()


def _lists() -> None:
    """People page through lists in order of time, and narrow them to a time."""
    for table, at, columns in (
        ("messages", "seen_at", ("account_id", "state")),
        ("deliveries", "created_at", ("handler", "state")),
        ("workflow_runs", "created_at", ("state",)),
    ):
        op.create_index(op.f(f"ix_{table}_{at}_id"), table, [at, "id"], unique=False)
        for column in columns:
            op.drop_index(op.f(f"ix_{table}_{column}_id"), table_name=table)
            op.create_index(op.f(f"ix_{table}_{column}_{at}_id"), table, [column, at, "id"], unique=False)


def _chain() -> None:
    """Tie the rows that are there to each other, as `concord.model.audit` ties those that follow."""
    connection = op.get_bind()
    audit = sa.table("audit", *(sa.column(name) for name in ("id", *_TIED, "hash")), sa.column("at", Moment))
    former, newest = "", 0
    for row in connection.execute(sa.select(audit).order_by(audit.c.id)).mappings().all():
        at = row["at"].replace(tzinfo=UTC) if row["at"].tzinfo is None else row["at"].astimezone(UTC)
        told = {name: row[name] for name in _TIED} | {"id": row["id"]}
        told["at"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        former, newest = hashlib.sha256(f"{former}\n{text}".encode()).hexdigest(), row["id"]
        connection.execute(sa.update(audit).where(audit.c.id == newest).values(hash=former))
    meta = sa.table("meta", sa.column("key"), sa.column("value"))
    connection.execute(sa.insert(meta).values(key="audit_mark", value=f"{newest} {former}"))


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("password_at", Moment, nullable=False),
        sa.Column("last_login_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sqlite_autoincrement=True,
    )


def _account_turns() -> None:
    op.create_table(
        "account_turns",
        sa.Column("id", BigId, nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_account_turns_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_turns")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_account_turns_account_id_id", "account_turns", ["account_id", "id"], unique=False)


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("id", BigId, nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", Document, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("owner", "key", name=op.f("uq_idempotency_keys_owner_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)


def _throttles() -> None:
    op.create_table(
        "throttles",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.Column("until", Moment, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttles")),
    )


def _api_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", BigId, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("scopes", Document, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=True),
        sa.Column("last_used_at", Moment, nullable=True),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_api_tokens_user_id"), "api_tokens", ["user_id"], unique=False)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", BigId, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("former", sa.LargeBinary(), nullable=True),
        sa.Column("former_until", Moment, nullable=True),
        sa.Column("csrf", sa.String(), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("rotated_at", Moment, nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_sessions_digest")),
        sa.UniqueConstraint("former", name=op.f("uq_sessions_former")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)


def _oauth_clients() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=True),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("scopes", Document, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_clients")),
        sa.UniqueConstraint("name", name=op.f("uq_oauth_clients_name")),
        sqlite_autoincrement=True,
    )


def _oauth_grants() -> None:
    op.create_table(
        "oauth_grants",
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("client_id", BigId, nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=False),
        sa.Column("access_token", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", Moment, nullable=True),
        sa.Column("granted_at", Moment, nullable=False),
        sa.Column("refreshed_at", Moment, nullable=True),
        sa.Column("refused_at", Moment, nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("held_until", Moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_oauth_grants_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.id"], name=op.f("fk_oauth_grants_client_id_oauth_clients")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_oauth_grants")),
    )
    op.create_index(op.f("ix_oauth_grants_client_id"), "oauth_grants", ["client_id"], unique=False)


def _oauth_requests() -> None:
    op.create_table(
        "oauth_requests",
        sa.Column("id", BigId, nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("verifier", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("client_id", BigId, nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=True),
        sa.Column("redirect_uri", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_oauth_requests_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["oauth_clients.id"],
            name=op.f("fk_oauth_requests_client_id_oauth_clients"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_oauth_requests_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_requests")),
        sa.UniqueConstraint("state", name=op.f("uq_oauth_requests_state")),
        sqlite_autoincrement=True,
    )


def _numbers() -> None:
    op.create_table(
        "numbers",
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("step", "series", "at", name=op.f("pk_numbers")),
    )


def _say_whose_mail_is_ours() -> None:
    """Where a `start: new` account began nobody wrote down: below its first recorded mail, nothing is claimed."""
    op.execute(
        """
        UPDATE folders SET backfill_low = COALESCE(
            (SELECT MIN(uid) FROM messages WHERE messages.account_id = folders.account_id
                AND messages.folder = folders.folder AND messages.uidvalidity = folders.uidvalidity),
            last_uid + 1
        )
        WHERE backfill_next IS NULL AND account_id IN (SELECT id FROM accounts WHERE start = 'new')
        """
    )
