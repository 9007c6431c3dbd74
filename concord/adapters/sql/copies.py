"""Mail that the account has already, in another folder: it was moved or copied, and is no new mail (P24).

Equal octets in another folder of the same account are the same mail. Within one folder, two deliveries of equal
octets are two mails; a mail that comes back to the folder it was moved from differs from a second delivery by its
INTERNALDATE, which MOVE and COPY preserve (RFC 9051 section 6.4.7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from concord.adapters.sql.message_rows import moment
from concord.adapters.sql.tables import messages
from concord.model.account import FolderCursor
from concord.model.fault import Fault
from concord.model.message import SeenMail

CODE: Final = "copy"
REASON: Final = Fault(CODE).dump()
# Whose octets nobody has any more: with such a row alone, the mail would never become an event.
_LOST: Final = frozenset({"archive_missing", "archive_damaged", "message_gone"})

_Row = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The row that stands for the mail."""

    id: int
    folder: str


def originals(connection: Connection, cursor: FolderCursor, mails: Sequence[SeenMail]) -> dict[int, Original]:
    """By UID, those of these mails that are known from another folder, each with the row that stands for it."""
    known = _known(connection, cursor.account_id, mails)
    found: dict[int, Original] = {}
    taken: set[str] = set()
    for mail in sorted(mails, key=lambda mail: mail.uid):
        rows = known.get(mail.sha256 or "", [])
        elsewhere = [row for row in rows if row.folder != cursor.folder]
        is_here = len(elsewhere) < len(rows) or mail.sha256 in taken
        if elsewhere and (not is_here or moment(mail.internal_date) in {row.internal_date for row in rows}):
            found[mail.uid] = Original(id=elsewhere[0].copy_of or elsewhere[0].id, folder=elsewhere[0].folder)
        if mail.sha256:
            taken.add(mail.sha256)
    return found


def archive_keys(connection: Connection, account_id: int, digests: Sequence[str]) -> dict[str, str]:
    """Where the account's mails with these contents are archived: one object serves all of them."""
    wanted = select(messages.c.sha256, messages.c.archive_key).where(
        messages.c.account_id == account_id, messages.c.sha256.in_(set(digests)), messages.c.archive_key.is_not(None)
    )
    return {row.sha256: row.archive_key for row in connection.execute(wanted.order_by(messages.c.id.desc()))}


def _known(connection: Connection, account_id: int, mails: Sequence[SeenMail]) -> dict[str, list[_Row]]:
    digests = {mail.sha256 for mail in mails if mail.sha256}
    known: dict[str, list[_Row]] = defaultdict(list)
    if not digests:
        return known
    columns = (messages.c[name] for name in ("id", "folder", "sha256", "internal_date", "copy_of", "error_code"))
    wanted = select(*columns).where(messages.c.account_id == account_id, messages.c.sha256.in_(digests))
    for row in connection.execute(wanted.order_by(messages.c.id)):
        if row.error_code not in _LOST:
            known[row.sha256].append(row)
    return known
