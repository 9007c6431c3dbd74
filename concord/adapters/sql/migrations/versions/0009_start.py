"""Accounts begin at a moment, INBOX is one folder, and a mail in two folders is one mail."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from concord.adapters.sql.migrations import online

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

Document = sa.JSON().with_variant(JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)
# INBOX in another spelling. Both tests: in some locales a letter that is not ASCII has an ASCII counterpart.
_INBOX: Final = "folder <> 'INBOX' AND upper(folder) = 'INBOX' AND lower(folder) = 'inbox'"
# Where both spellings were polled, each mail has two rows and two events. That is history, and stays.
_NO_TWIN: Final = (
    "NOT EXISTS (SELECT 1 FROM messages AS twin WHERE twin.account_id = messages.account_id AND twin.folder = 'INBOX'"
    " AND twin.uidvalidity = messages.uidvalidity AND twin.uid = messages.uid)"
)


def upgrade() -> None:
    online.add_columns("accounts", sa.Column("start_at", Moment, nullable=True))
    online.add_columns("account_states", sa.Column("notes", Document, nullable=True))
    online.add_columns("folders", sa.Column("start_at", Moment, nullable=True))
    online.add_columns("messages", sa.Column("copy_of", sa.BigInteger(), nullable=True))
    online.create_index("ix_messages_account_id_sha256", "messages", ["account_id", "sha256"])
    online.drop_index("ix_messages_account_id_folder_sha256", "messages")
    _give_inbox_one_name()


def _give_inbox_one_name() -> None:
    connection = op.get_bind()
    asked = sa.text(f"SELECT * FROM folders WHERE {_INBOX}")  # noqa: S608 - words of this file, no input
    odd = [dict(row) for row in connection.execute(asked).mappings()]
    if not odd:
        return
    online.update_rows("messages", "folder = 'INBOX'", where=f"{_INBOX} AND {_NO_TWIN}")
    for row in odd:
        _merge(row)


def _merge(odd: dict[str, Any]) -> None:
    """Give its cursor to INBOX. Where INBOX has one, the lower of the two stands: what is read again has its row."""
    connection, folders = op.get_bind(), sa.table("folders", *(sa.column(name) for name in odd))
    account = folders.c.account_id == odd["account_id"]
    inbox = connection.execute(sa.select(folders).where(account, folders.c.folder == "INBOX")).mappings().one_or_none()
    here = sa.and_(account, folders.c.folder == odd["folder"])
    if inbox is None:
        connection.execute(sa.update(folders).where(here).values(folder="INBOX"))
        return
    if inbox["uidvalidity"] == odd["uidvalidity"]:
        connection.execute(
            sa.update(folders).where(account, folders.c.folder == "INBOX").values(_lower(dict(inbox), odd))
        )
    connection.execute(sa.delete(folders).where(here))


def _lower(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = {name: min(one[name], other[name]) for name in ("last_uid", "backfill_low", "begun_at")}
    for name in ("backfill_next", "begun_uid"):
        # None is a backfill that is complete, or a beginning that nobody wrote down.
        known = None not in (one[name], other[name])
        merged[name] = min(one[name], other[name]) if known else None
    return merged | {"checked_at": None}
