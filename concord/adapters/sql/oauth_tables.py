"""The tables of OAuth2: the operator's applications at providers, what mailboxes were granted, consents under way."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from concord.adapters.sql.clean import LINE, REASON
from concord.adapters.sql.tables import metadata
from concord.adapters.sql.types import BigId, CleanJson, CleanText, UtcDateTime

# An application that the operator registered with Google, Microsoft or another provider.
oauth_clients: Final = Table(
    "oauth_clients",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("provider", String, nullable=False),  # google, microsoft, other
    Column("client_id", String, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # ciphertext; empty for a public client
    Column("tenant", String),  # Microsoft's
    Column("issuer", String),  # other: where its .well-known/openid-configuration lies
    Column("scopes", CleanJson, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# What one mailbox was granted. Tokens are ciphertext.
oauth_grants: Final = Table(
    "oauth_grants",
    metadata,
    Column("account_id", BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("client_id", BigId, ForeignKey("oauth_clients.id"), nullable=False),
    Column("flow", String, nullable=False),  # code, app_only
    Column("refresh_token", LargeBinary, nullable=False),
    Column("access_token", LargeBinary, nullable=False),
    Column("expires_at", UtcDateTime),  # of the access token
    Column("granted_at", UtcDateTime, nullable=False),
    Column("refreshed_at", UtcDateTime),
    # The first refusal is an alarm; it stays until a new consent.
    Column("refused_at", UtcDateTime),
    Column("error_code", CleanText(LINE)),
    Column("error", CleanText(REASON)),
    # Whoever fetches a token holds the grant until then; nobody else fetches one meanwhile.
    Column("held_until", UtcDateTime),
    Index(None, "client_id"),
)

# A consent that somebody's browser was sent away for. Each is used once.
oauth_requests: Final = Table(
    "oauth_requests",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("state", LargeBinary, nullable=False, unique=True),  # SHA-256 of the state parameter
    Column("verifier", LargeBinary, nullable=False),  # PKCE's, ciphertext
    Column("nonce", String, nullable=False),
    Column("client_id", BigId, ForeignKey("oauth_clients.id", ondelete="CASCADE"), nullable=False),
    Column("account_id", BigId, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", BigId, ForeignKey("users.id", ondelete="CASCADE")),  # none: at the command line
    Column("redirect_uri", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
