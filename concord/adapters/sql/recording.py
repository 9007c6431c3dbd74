"""Recording what a poll took: rows and cursor in one transaction, in the same few statements for one mail or fifty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import Connection, Row, bindparam, select, update

from concord.adapters.sql import copies, leases, renumbering
from concord.adapters.sql.message_rows import mail_values, ref
from concord.adapters.sql.tables import messages
from concord.adapters.sql.trail import add_steps
from concord.adapters.sql.upsert import insert_for
from concord.model.account import FolderCursor, PollLease
from concord.model.message import AfterState, MessageKey, MessageRef, MessageState, SeenMail

# What a server lists and does not hand over is asked for again after 5, 10, 20 and 40 minutes, then quarantined.
FETCH_ATTEMPTS: Final = 5
FETCH_BACKOFF: Final = timedelta(minutes=5)

_Step = tuple[int, str, dict[str, object]]
_Originals = dict[int, copies.Original]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One batch of one folder on its way into the ledger."""

    connection: Connection
    cursor: FolderCursor
    now: datetime
    version: str
    events_for_copies: bool = False

    def record(self, lease: PollLease, mails: Sequence[SeenMail]) -> list[MessageRef] | None:
        """The ARCHIVED rows that are new; None where the lease is no longer ours."""
        if not leases.hold(self.connection, lease, self.now):
            return None
        key, top = leases.key_and_last_uid(self.connection, self.cursor)
        leases.save_cursor(self.connection, self.cursor, self.now)
        if not mails:
            return []
        known = renumbering.known_uids(self.connection, self.cursor, [mail.uid for mail in mails])
        fresh = [mail for mail in mails if mail.uid not in known]
        again = {
            known[mail.uid].id: mail
            for mail in mails
            if mail.uid in known and known[mail.uid].state == MessageState.UNFETCHED
        }
        # What has come since the folder was last read is new, whatever it says: only what was there can be old.
        there = [mail for mail in fresh if top is None or mail.uid <= top]
        moved = renumbering.remap(self.connection, self.cursor, there, again, self.now)
        fresh = [mail for mail in fresh if mail.uid not in moved]
        again = {row: mail for row, mail in again.items() if mail.uid not in moved}
        originals = self._originals([*fresh, *again.values()])
        inserted = self._insert(key, [_as_copy(mail, originals) for mail in fresh], originals)
        changed = self._update({row: _as_copy(mail, originals) for row, mail in again.items()}, known, originals)
        return inserted + changed

    def _originals(self, mails: Sequence[SeenMail]) -> _Originals:
        """Of the mails that would become events, those that are known from another folder."""
        if self.events_for_copies:
            return {}
        wanted = [mail for mail in mails if mail.state is MessageState.ARCHIVED]
        return copies.originals(self.connection, self.cursor, wanted)

    def _insert(self, key: UUID, mails: Sequence[SeenMail], originals: _Originals) -> list[MessageRef]:
        if not mails:
            return []
        put = insert_for(self.connection, messages).on_conflict_do_nothing()
        rows = self._named([self._new_row(key, mail, originals) for mail in mails])
        made = self.connection.execute(put.returning(messages.c.id, messages.c.uid), rows).all()
        by_uid = {mail.uid: mail for mail in mails}
        return self._append_trail([(row.id, by_uid[row.uid], 1) for row in sorted(made)], originals)

    def _new_row(self, key: UUID, mail: SeenMail, originals: _Originals) -> dict[str, Any]:
        named = MessageKey(account=key, folder=self.cursor.folder, uidvalidity=self.cursor.uidvalidity, uid=mail.uid)
        place = {
            "account_id": self.cursor.account_id,
            "folder": self.cursor.folder,
            "uidvalidity": self.cursor.uidvalidity,
            "uid": mail.uid,
            "event_id": named.event_id,
            "after": AfterState.NONE.value,
            "seen_at": self.now,
            "copy_of": _copy_of(mail, originals),
        }
        return place | mail_values(mail) | self._standing(mail, failures=1)

    def _named(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A number that the server gave once more, to another mail: that one needs a name of its own."""
        wanted = [row["event_id"] for row in rows]
        taken = set(
            self.connection.execute(select(messages.c.event_id).where(messages.c.event_id.in_(wanted))).scalars()
        )
        return [
            row | {"event_id": uuid5(row["event_id"], row["sha256"] or "unread")} if row["event_id"] in taken else row
            for row in rows
        ]

    def _update(
        self, again: dict[int, SeenMail], known: dict[int, Row[Any]], originals: _Originals
    ) -> list[MessageRef]:
        """UNFETCHED rows take what came of asking again."""
        if not again:
            return []
        failures = {row: known[mail.uid].failures + 1 for row, mail in again.items()}
        rows = [
            {
                f"b_{name}": value
                for name, value in (mail_values(mail) | self._standing(mail, failures=failures[row])).items()
            }
            | {"b_id": row, "b_copy_of": _copy_of(mail, originals)}
            for row, mail in again.items()
        ]
        names = [name.removeprefix("b_") for name in rows[0] if name != "b_id"]
        self.connection.execute(
            update(messages)
            .where(messages.c.id == bindparam("b_id"))
            .values({name: bindparam(f"b_{name}") for name in names}),
            rows,
        )
        return self._append_trail([(row, mail, failures[row]) for row, mail in again.items()], originals)

    def _standing(self, mail: SeenMail, *, failures: int) -> dict[str, Any]:
        """Where a row stands after this: an unread mail waits ever longer, and is quarantined in the end."""
        state = _state(mail, failures)
        unread = mail.state is MessageState.UNFETCHED
        return {
            "state": state.value,
            "failures": failures if unread else 0,
            "due_at": self.now + FETCH_BACKOFF * 2 ** (failures - 1) if state is MessageState.UNFETCHED else None,
            "queued_at": self.now if state is MessageState.ARCHIVED else None,
            "gave_up_version": self.version if state is MessageState.QUARANTINED else None,
        }

    def _append_trail(self, done: list[tuple[int, SeenMail, int]], originals: _Originals) -> list[MessageRef]:
        steps: list[_Step] = [
            (row, "message.copied", {"copy_of": original.id, "from_folder": original.folder})
            if (original := originals.get(mail.uid))
            else (row, f"message.{_state(mail, failures)}", _detail(mail))
            for row, mail, failures in done
        ]
        add_steps(self.connection, steps, self.now)
        return [ref(row, mail.priority, mail.size) for row, mail, _ in done if mail.state is MessageState.ARCHIVED]


def _as_copy(mail: SeenMail, originals: _Originals) -> SeenMail:
    """A copy is recorded and goes no further: the mail it is a copy of has the event."""
    if mail.uid not in originals:
        return mail
    return replace(mail, state=MessageState.SKIPPED, error_code=copies.CODE, error=copies.REASON)


def _copy_of(mail: SeenMail, originals: _Originals) -> int | None:
    return originals[mail.uid].id if mail.uid in originals else None


def _state(mail: SeenMail, failures: int) -> MessageState:
    gave_up = mail.state is MessageState.UNFETCHED and failures >= FETCH_ATTEMPTS
    return MessageState.QUARANTINED if gave_up else mail.state


def _detail(mail: SeenMail) -> dict[str, object]:
    facts = {"archive_key": mail.archive_key, "size": mail.size, "error": mail.error_code, "reason": mail.error}
    return {name: value for name, value in facts.items() if value is not None}
