"""Which of a batch the ledger has seen: by UID, or, after a change of UIDVALIDITY, by content (P15).

RFC 9051 section 2.3.1.1: with a new UIDVALIDITY every UID means another mail. A row is moved to its mail's new number
and keeps its event, one row for one mail, however many mails are byte for byte the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from concord.adapters.sql.tables import messages, trail
from concord.adapters.sql.trail import add_steps
from concord.model.account import FolderCursor
from concord.model.message import SeenMail

_Row = Row[*tuple[Any, ...]]


def known_uids(connection: Connection, cursor: FolderCursor, uids: Sequence[int]) -> dict[int, _Row]:
    """Rows (id, uid, state, failures) recorded before under the present UIDVALIDITY, by UID."""
    wanted = select(messages.c.id, messages.c.uid, messages.c.state, messages.c.failures).where(
        messages.c.account_id == cursor.account_id,
        messages.c.folder == cursor.folder,
        messages.c.uidvalidity == cursor.uidvalidity,
        messages.c.uid.in_(uids),
    )
    return {row.uid: row for row in connection.execute(wanted)}


def remap(
    connection: Connection,
    cursor: FolderCursor,
    fresh: Sequence[SeenMail],
    again: Mapping[int, SeenMail],
    now: datetime,
) -> set[int]:
    """Move rows of an older UIDVALIDITY to the same mails' new numbers; the UIDs that need no row of their own.

    `again` are mails that had an UNFETCHED row under the new number; that row is dropped for the older one.
    """
    mails = sorted([*fresh, *again.values()], key=lambda mail: mail.uid)
    older = _older_rows(connection, cursor, [mail.sha256 for mail in mails if mail.sha256])
    moves = [(older[mail.sha256].pop(0), mail) for mail in mails if mail.sha256 and older.get(mail.sha256)]
    if not moves:
        return set()
    moved = {mail.uid for _, mail in moves}
    _drop(connection, [row for row, mail in again.items() if mail.uid in moved])
    connection.execute(
        update(messages)
        .where(messages.c.id == bindparam("b_id"))
        .values(uidvalidity=cursor.uidvalidity, uid=bindparam("b_uid")),
        [{"b_id": row.id, "b_uid": mail.uid} for row, mail in moves],
    )
    steps = [(row.id, "message.remapped", _numbers(row, cursor, mail)) for row, mail in moves]
    add_steps(connection, steps, now)
    return moved


def _older_rows(connection: Connection, cursor: FolderCursor, digests: Sequence[str]) -> dict[str, list[_Row]]:
    """Rows with these contents that stand under another UIDVALIDITY, lowest number first."""
    older: dict[str, list[_Row]] = defaultdict(list)
    if not digests:
        return older
    wanted = (
        select(messages.c.id, messages.c.uidvalidity, messages.c.uid, messages.c.sha256)
        .where(messages.c.account_id == cursor.account_id, messages.c.folder == cursor.folder)
        .where(messages.c.sha256.in_(set(digests)), messages.c.uidvalidity != cursor.uidvalidity)
        .order_by(messages.c.uidvalidity.desc(), messages.c.uid)
    )
    for row in connection.execute(wanted):
        older[row.sha256].append(row)
    return older


def _drop(connection: Connection, ids: Sequence[int]) -> None:
    if ids:
        connection.execute(delete(trail).where(trail.c.message_id.in_(ids)))
        connection.execute(delete(messages).where(messages.c.id.in_(ids)))


def _numbers(row: _Row, cursor: FolderCursor, mail: SeenMail) -> dict[str, object]:
    return {
        "from_uidvalidity": row.uidvalidity,
        "from_uid": row.uid,
        "uidvalidity": cursor.uidvalidity,
        "uid": mail.uid,
    }
