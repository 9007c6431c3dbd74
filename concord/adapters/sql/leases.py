"""The poll lease and the folder cursors it guards: one account at a time across the whole cluster (P3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, and_, bindparam, exists, not_, select, update

from concord.adapters.sql.account_rows import cursor_of
from concord.adapters.sql.tables import UNFETCHED, account_states, accounts, folders, messages
from concord.adapters.sql.trail import add_steps
from concord.adapters.sql.upsert import insert_for
from concord.model.account import FolderCursor, PollLease
from concord.model.fault import Fault
from concord.model.message import MessageState
from concord.model.worker import FindWorker, holder, no_worker

RENUMBERED: Final = Fault("renumbered").dump()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """Who takes leases, and for how long at most. One that ends later was taken by a clock that was ahead."""

    worker: FindWorker = no_worker
    longest: timedelta = timedelta(hours=1)


def lease(
    connection: Connection, account_id: int, *, now: datetime, until: datetime, terms: LeaseTerms, background: bool
) -> PollLease | None:
    """Take the lease where nobody has it. The fence rises, so that its former holder writes nothing more.

    A holder that dies leaves its beginning counted, also where the next start of its worker frees the lease.
    """
    free = not_(_is_leased(now, terms))
    fence, begun = account_states.c.fence, begun_count(background=background)
    begins = {} if background else {"begun_at": now, "poll_waits": False}
    living = exists().where(accounts.c.id == account_id, accounts.c.removed_at.is_(None))
    take = (
        update(account_states)
        .where(account_states.c.account_id == account_id, free, living)
        .values(
            {"leased_until": until, "leased_by": holder(terms.worker), "fence": fence + 1, begun.name: begun + 1}
            | begins
        )
        .returning(fence.label("fence"), begun.label("begun"))
    )
    taken = connection.execute(take).one_or_none()
    if taken is None:
        return None
    return PollLease(
        account_id=account_id, fence=taken.fence, until=until, background=background, follows_crash=taken.begun > 1
    )


def begun_count(*, background: bool) -> Column[int]:
    """The column that counts leases of this kind that were taken since one was given back."""
    return account_states.c.open_background if background else account_states.c.open_polls


def wait_to_poll(connection: Connection, account_id: int, *, now: datetime, terms: LeaseTerms) -> bool:
    """Have the lease's holder know that a poll waits; False where nobody has it."""
    wait = update(account_states).where(account_states.c.account_id == account_id, _is_leased(now, terms))
    return connection.execute(wait.values(poll_waits=True)).rowcount == 1


def poll_waits(connection: Connection, lease: PollLease) -> bool:
    """Whether a poll waits for this lease."""
    wanted = select(account_states.c.poll_waits).where(account_states.c.account_id == lease.account_id)
    return bool(connection.execute(wanted).scalar_one_or_none())


def _is_leased(now: datetime, terms: LeaseTerms) -> ColumnElement[bool]:
    until = account_states.c.leased_until
    return and_(until.is_not(None), until > now, until <= now + terms.longest)


def change(connection: Connection, lease: PollLease, now: datetime, values: dict[str, Any]) -> bool:
    """Change the account's state while the lease is ours."""
    return connection.execute(update(account_states).where(ours(lease, now)).values(values)).rowcount == 1


def ours(lease: PollLease, now: datetime) -> ColumnElement[bool]:
    """Whether a state row says that this lease holds."""
    return and_(
        account_states.c.account_id == lease.account_id,
        account_states.c.fence == lease.fence,
        account_states.c.leased_until > now,
    )


def hold(connection: Connection, lease: PollLease, now: datetime) -> bool:
    """Whether the lease is ours; if so, nobody can take it before this transaction ends."""
    held = select(account_states.c.fence).where(ours(lease, now)).with_for_update()
    return connection.execute(held).one_or_none() is not None


def has_login(connection: Connection, lease: PollLease, version: int) -> bool:
    """Whether the account's login is still the one of that version; if so, it stays so until the transaction ends."""
    same = and_(account_states.c.account_id == lease.account_id, account_states.c.login_version == version)
    return connection.execute(select(account_states.c.fence).where(same).with_for_update()).one_or_none() is not None


def cursors(connection: Connection, account_id: int) -> dict[str, FolderCursor]:
    """The account's cursors by folder."""
    rows = connection.execute(select(folders).where(folders.c.account_id == account_id))
    return {row.folder: cursor_of(row) for row in rows}


def key_and_last_uid(connection: Connection, cursor: FolderCursor) -> tuple[UUID, int | None]:
    """The account's key, and how far the folder was read; None where reading begins with this change."""
    here = and_(
        folders.c.account_id == accounts.c.id,
        folders.c.folder == cursor.folder,
        folders.c.uidvalidity == cursor.uidvalidity,
    )
    wanted = select(accounts.c.key, folders.c.last_uid).select_from(accounts.outerjoin(folders, here))
    row = connection.execute(wanted.where(accounts.c.id == cursor.account_id)).one()
    return row.key, row.last_uid


def save_cursor(connection: Connection, cursor: FolderCursor, now: datetime) -> None:
    """Create or change it. The caller holds the lease."""
    values = asdict(cursor)
    put = insert_for(connection, folders).values(values)
    changed = {name: put.excluded[name] for name in values if name not in ("account_id", "folder")}
    connection.execute(put.on_conflict_do_update(index_elements=["account_id", "folder"], set_=changed))
    _give_up_old_numbers(connection, cursor, now)


def _give_up_old_numbers(connection: Connection, cursor: FolderCursor, now: datetime) -> None:
    """What was never fetched under an older UIDVALIDITY cannot be asked for again; its mail has a new number now."""
    old = (
        select(messages.c.id)
        .where(messages.c.account_id == cursor.account_id, messages.c.folder == cursor.folder, UNFETCHED)
        .where(messages.c.uidvalidity != cursor.uidvalidity)
    )
    ids = list(connection.execute(old).scalars())
    if not ids:
        return
    skipped = {"state": MessageState.SKIPPED.value, "error_code": "renumbered", "error": RENUMBERED, "due_at": None}
    connection.execute(
        update(messages).where(messages.c.id == bindparam("b_id")).values(skipped), [{"b_id": known} for known in ids]
    )
    add_steps(connection, [(known, "message.skipped", {"reason": RENUMBERED}) for known in ids], now)
