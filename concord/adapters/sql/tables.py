"""The tables of intake: accounts, how they do, their folders, the ledger and its trail; and what belongs to no one.

`outbox_tables.py` has what follows from a message. Both describe the schema that the migrations make; a test compares.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
)

from concord.adapters.sql.clean import LINE, REASON
from concord.adapters.sql.types import BigId, CleanJson, CleanText, PriorityRank, UtcDateTime

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def partial(name: str, condition: str, *columns: str, unique: bool = False) -> Index:
    """An index of only the rows that meet a condition."""
    return Index(name, *columns, unique=unique, sqlite_where=text(condition), postgresql_where=text(condition))


def claim_columns() -> tuple[Column[Any], ...]:
    """The columns that say how a row is claimed (`work.py`), beside its state, its attempt and its lease."""
    return (
        # A claim of it lapsed before: it travels alone.
        Column("suspect", Boolean, nullable=False, server_default=false()),
        # Which foreign code the worker is in with it (parse, rule, handler, step), while it travels alone.
        Column("stage", String),
        # The incarnation of the worker that claimed it.
        Column("claimed_by", String),
    )


accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("key", Uuid, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("host", String, nullable=False),
    Column("port", Integer, nullable=False),
    Column("tls", String, nullable=False),
    Column("login", String, nullable=False),
    Column("auth", String, nullable=False),
    Column("oauth_client", String),  # its name
    Column("secret", LargeBinary, nullable=False),
    Column("ca_file", String),
    Column("ca_pem", String),
    Column("folders", CleanJson, nullable=False),
    Column("start", String, nullable=False),
    Column("after", String, nullable=False),
    Column("interval", Integer),
    Column("priority", PriorityRank, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # From this moment on, mail is new (`start: new`); NULL: from `created_at` on.
    Column("start_at", UtcDateTime),
    Column("removed_at", UtcDateTime),
    # A name is taken by one living account; removed ones keep theirs, so that their messages can say it.
    partial("ix_accounts_living_name", "removed_at IS NULL", "name", unique=True),
    sqlite_autoincrement=True,
)

account_states: Final = Table(
    "account_states",
    metadata,
    Column("account_id", BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_success", UtcDateTime),
    Column("last_poll", UtcDateTime),
    Column("last_error", CleanText(REASON)),
    Column("last_error_code", CleanText(LINE)),
    Column("last_error_at", UtcDateTime),
    Column("next_try", UtcDateTime),
    # The poll lease: who holds the newest fence may poll until then.
    Column("leased_until", UtcDateTime),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("leased_by", String),
    # When the last poll began; and whether one found the lease taken and waits for it.
    Column("begun_at", UtcDateTime),
    Column("poll_waits", Boolean, nullable=False, server_default=false()),
    # Polls, and background work, that began and were not seen to end: more than one, and the last one crashed.
    Column("open_polls", Integer, nullable=False, server_default="0"),
    Column("open_background", Integer, nullable=False, server_default="0"),
    # Mails that the server has, that Concord should have and has not (O7); None: never counted.
    Column("unaccounted", Integer),
    Column("reconciled_at", UtcDateTime),
    # What was found out about the server, by code; NULL: nothing.
    Column("notes", CleanJson),
    Column("login_version", Integer, nullable=False, server_default="0"),
)

# When an account's state became another one; the last of each are kept.
account_turns: Final = Table(
    "account_turns",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("account_id", BigId, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", String, nullable=False),
    Column("error", CleanText(REASON)),
    Index("ix_account_turns_account_id_id", "account_id", "id"),
    sqlite_autoincrement=True,
)

folders: Final = Table(
    "folders",
    metadata,
    Column("account_id", BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("folder", String, primary_key=True),
    Column("uidvalidity", BigInteger, nullable=False),
    Column("last_uid", BigInteger, nullable=False),
    Column("backfill_next", BigInteger),
    Column("backfill_low", BigInteger, nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("begun_uid", BigInteger),
    Column("start_at", UtcDateTime),
    Column("uidnext", BigInteger),
    Column("messages", BigInteger),
    # RFC 7162 section 3: 63 bits, which is what a BIGINT holds.
    Column("modseq", BigInteger),
    Column("checked_at", UtcDateTime),
    Column("visited_at", UtcDateTime),
    # Where a session ended: these UIDs are fetched one by one.
    Column("careful_low", BigInteger),
    Column("careful_high", BigInteger),
    Column("died_uid", BigInteger),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("fetching_uid", BigInteger),
)

# Written out, word for word, in the questions they serve: a database uses a partial index only where it can see that
# the question implies its condition.
WAITING: Final = text("messages.state IN ('archived', 'processing')")
UNFETCHED: Final = text("messages.state = 'unfetched'")
AFTER_PENDING: Final = text("messages.after = 'pending'")

messages: Final = Table(
    "messages",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("account_id", BigId, ForeignKey("accounts.id"), nullable=False),
    Column("folder", String, nullable=False),
    Column("uidvalidity", BigInteger, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False, unique=True),
    Column("state", String, nullable=False),
    Column("priority", PriorityRank, nullable=False),
    Column("sha256", String),
    Column("size", BigInteger),
    Column("archive_key", String),
    Column("internal_date", UtcDateTime),
    Column("flags", CleanJson, nullable=False),
    Column("message_id", CleanText(LINE)),
    Column("subject", CleanText(LINE)),
    Column("sender", CleanText(LINE)),
    Column("sent_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error_code", CleanText(LINE)),
    Column("error", CleanText(REASON)),
    # The version of Concord that quarantined it: another one may do better.
    Column("gave_up_version", String),
    # The newest version that took it out of quarantine for one more chance.
    Column("retried_version", String),
    Column("due_at", UtcDateTime),
    Column("leased_until", UtcDateTime),
    Column("queued_at", UtcDateTime),
    *claim_columns(),
    Column("after", String, nullable=False),
    Column("after_failures", Integer, nullable=False, server_default="0"),
    Column("after_due_at", UtcDateTime),
    Column("after_code", String),
    Column("after_copied", Boolean, nullable=False, server_default=false()),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("processed_at", UtcDateTime),
    # The row of the same mail in another folder, which has the event; this one was moved or copied from there.
    Column("copy_of", BigInteger),
    UniqueConstraint("account_id", "folder", "uidvalidity", "uid"),
    # Lists, newest first.
    Index(None, "seen_at", "id"),
    Index(None, "account_id", "seen_at", "id"),
    Index(None, "state", "seen_at", "id"),
    Index(None, "message_id"),
    # A mail is known by its content after a change of UIDVALIDITY, and where it was moved or copied.
    Index(None, "account_id", "sha256"),
    # What every poll and every sweep asks: small, however many messages are done.
    partial("ix_messages_waiting", "state IN ('archived', 'processing')", "priority", "id"),
    partial("ix_messages_unfetched", "state = 'unfetched'", "account_id", "folder", "uidvalidity", "due_at"),
    partial("ix_messages_after_pending", "after = 'pending'", "account_id", "folder", "uidvalidity", "id"),
    sqlite_autoincrement=True,
)

trail: Final = Table(
    "trail",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("message_id", BigId, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("what", String, nullable=False),
    Column("detail", CleanJson, nullable=False),
    Index(None, "message_id", "id"),
    # What happened within a minute: the numbers.
    Index(None, "at"),
)

# Messages whose raw bytes the archive lacks: asked for again from the server, and counted.
archive_losses: Final = Table(
    "archive_losses",
    metadata,
    Column("message_id", BigId, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("account_id", BigId, nullable=False),
    Column("code", String, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("asked_at", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False),
    Column("verdict", String),
    Index(None, "account_id", "due_at"),
)

connection_slots: Final = Table(
    "connection_slots",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("host", String, nullable=False),
    Column("login", String, nullable=False),
    Column("leased_until", UtcDateTime, nullable=False),
    Column("worker", String),  # its incarnation; NULL outside workers
    # Whether the connection is only kept for later, and whether somebody asks for its place.
    Column("idle", Boolean, nullable=False, server_default=false()),
    Column("wanted", Boolean, nullable=False, server_default=false()),
    Index(None, "host", "login"),
    # A slot's number is never given twice: releasing a lapsed one cannot free another's.
    sqlite_autoincrement=True,
)

# Hosts whose clock is not the database's.
host_clocks: Final = Table(
    "host_clocks",
    metadata,
    Column("host", String, primary_key=True),
    Column("ahead", Float, nullable=False),  # seconds
    Column("seen_at", UtcDateTime, nullable=False),
)

meta: Final = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", CleanText(LINE), nullable=False),
    Column("via", String, nullable=False),
    Column("address", CleanText(LINE), nullable=False, server_default=text("''")),
    Column("action", String, nullable=False),
    Column("subject", CleanText(LINE), nullable=False),
    Column("outcome", String, nullable=False),
    Column("detail", CleanText(REASON), nullable=False),
    # SHA-256 over the former row's hash and this row: a row changed, added in between or taken away shows.
    Column("hash", String),
    # Who did something long ago, and what was done with one thing: few rows among very many.
    Index(None, "actor", "id"),
    Index(None, "subject", "id"),
    # An id is the next page's mark: none is ever given twice.
    sqlite_autoincrement=True,
)
