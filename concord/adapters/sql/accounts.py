"""Accounts as configured, how they do, the poll lease and the folder cursors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from concord.adapters.sql import account_lists, leases
from concord.adapters.sql.account_rows import account_of, account_values, status_of, status_values
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.losses import LOST
from concord.adapters.sql.oauth_tables import oauth_grants, oauth_requests
from concord.adapters.sql.tables import account_states, accounts, folders
from concord.errors import ExistsError, NotFoundError
from concord.model.account import (
    Account,
    AccountFilter,
    AccountNote,
    AccountState,
    AccountStatus,
    AccountTurn,
    FolderCursor,
    PollLease,
    account_key,
)
from concord.ports import Clock

_LIVING: Final = accounts.c.removed_at.is_(None)
# When one of these changes, a refused login is worth another try.
_LOGIN: Final = ("host", "port", "login", "auth", "oauth_client", "secret")


class SqlAccounts:
    """Accounts in the database."""

    def __init__(self, engine: Engine, clock: Clock, terms: leases.LeaseTerms | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._terms = terms or leases.LeaseTerms()

    def all(self, *, enabled_only: bool = False) -> list[Account]:
        """By name."""
        wanted = select(accounts).where(_LIVING).order_by(accounts.c.name)
        if enabled_only:
            wanted = wanted.where(accounts.c.enabled)
        with reading(self._engine) as connection:
            return [account_of(row) for row in connection.execute(wanted)]

    def names(self) -> list[str]:
        """Of all, in order."""
        wanted = select(accounts.c.name).where(_LIVING).order_by(accounts.c.name)
        with reading(self._engine) as connection:
            return list(connection.execute(wanted).scalars())

    def get(self, account: int | str) -> Account:
        """By id or name."""
        with reading(self._engine) as connection:
            return account_of(_living(connection, account))

    def add(self, account: Account) -> Account:
        """A new account; or the same row again, where this very mailbox was removed before: its mails are known."""
        with transaction(self._engine) as connection, _one_of_a_name(account.name):
            return account_of(_living(connection, self._keep(connection, account)))

    def _keep(self, connection: Connection, account: Account, *, besides: int | None = None) -> int:
        """Store it under the row it had before it was removed, else under one of its own; the row's id."""
        now = self._clock()
        values = account_values(account) | {"name": account.name, "removed_at": None, "start_at": now}
        key = account_key(account.name, account.host, account.user)
        removed = _removed(connection, account, key, besides)
        if removed is not None:
            connection.execute(update(accounts).where(accounts.c.id == removed.id).values(values))
            _reset_state(connection, removed.id)
            return int(removed.id)
        if connection.execute(select(accounts.c.id).where(accounts.c.key == key)).first():
            key = uuid4()  # the former mailbox of this name was here once, and keeps the key
        made = insert(accounts).values(values | {"key": key, "created_at": now})
        account_id = int(connection.execute(made.returning(accounts.c.id)).scalar_one())
        connection.execute(insert(account_states).values(account_id=account_id, state=AccountState.NEW.value))
        return account_id

    def save(self, account: Account) -> Account:
        """Change it; a changed login or secret is tried at the next poll."""
        values = account_values(account)
        with transaction(self._engine) as connection:
            before = _living(connection, account.id, for_update=True)
            connection.execute(update(accounts).where(accounts.c.id == account.id).values(values))
            if any(getattr(before, name) != values[name] for name in _LOGIN):
                forgive(connection, account.id)
            if not account.auth.is_oauth:
                _drop_tokens(connection, account.id)
            return account_of(_living(connection, account.id))

    def replace(self, account: Account) -> Account:
        """Give its name to another mailbox, with a row and a key of its own: equal UIDs then name different mails."""
        with transaction(self._engine) as connection:
            before = _living(connection, account.id, for_update=True)
            _retire(connection, before.id, self._clock())
            other = replace(account, name=before.name)
            return account_of(_living(connection, self._keep(connection, other, besides=before.id)))

    def remove(self, name: str) -> None:
        """Forget it. A poll under way loses its lease and writes nothing more."""
        with transaction(self._engine) as connection:
            _retire(connection, _living(connection, name, for_update=True).id, self._clock())

    def status(self, account_id: int) -> AccountStatus:
        """How it does; a fresh status where there is no such account."""
        wanted = select(account_states, LOST).where(account_states.c.account_id == account_id)
        with reading(self._engine) as connection:
            row = connection.execute(wanted).one_or_none()
        return AccountStatus() if row is None else status_of(row)

    def failing(self, *, limit: int) -> list[tuple[Account, AccountStatus]]:
        """Enabled ones whose last poll failed, the latest failure first."""
        with reading(self._engine) as connection:
            return account_lists.failing(connection, limit)

    def search(self, narrowed: AccountFilter) -> list[tuple[Account, AccountStatus]]:
        """By name."""
        with reading(self._engine) as connection:
            return account_lists.search(connection, narrowed)

    def counts(self) -> dict[str, int]:
        """How many are in each state; `disabled` are those switched off."""
        with reading(self._engine) as connection:
            return account_lists.counts(connection)

    def turns(self, account_id: int, *, limit: int = 20) -> list[AccountTurn]:
        """When its state became another one, the newest first."""
        with reading(self._engine) as connection:
            return account_lists.turns(connection, account_id, limit)

    def statuses(self) -> dict[int, AccountStatus]:
        """All living accounts', by id."""
        wanted = select(account_states, LOST).join(accounts).where(_LIVING)
        with reading(self._engine) as connection:
            return {row.account_id: status_of(row) for row in connection.execute(wanted)}

    def set_status(self, account_id: int, status: AccountStatus) -> None:
        """Say how it does, whoever polls it."""
        here = account_states.c.account_id == account_id
        with transaction(self._engine) as connection:
            connection.execute(update(account_states).where(here).values(status_values(status)))

    def reconciled(self, account_id: int, unaccounted: int | None) -> None:
        """Say how many mails the ledger lacked just now."""
        here = account_states.c.account_id == account_id
        found = {"unaccounted": unaccounted, "reconciled_at": self._clock()}
        with transaction(self._engine) as connection:
            connection.execute(update(account_states).where(here).values(found))

    def note(self, account_id: int, note: AccountNote, *, holds: bool) -> None:
        """Add a note on the account's server, or take it away; where it is so already, nothing is written."""
        here = account_states.c.account_id == account_id
        with transaction(self._engine) as connection:
            found = connection.execute(select(account_states.c.notes).where(here)).scalar_one_or_none() or []
            if (note in found) is not holds:
                others = [one for one in found if one != note]
                notes = [*others, note.value] if holds else others
                connection.execute(update(account_states).where(here).values(notes=notes))

    def lease(self, account_id: int, *, until: datetime, background: bool = False) -> PollLease | None:
        """The right to poll, if nobody has it."""
        now = self._clock()
        with transaction(self._engine) as connection:
            return leases.lease(connection, account_id, now=now, until=until, terms=self._terms, background=background)

    def wait_to_poll(self, account_id: int) -> bool:
        """Have the lease's holder know that a poll waits."""
        with transaction(self._engine) as connection:
            return leases.wait_to_poll(connection, account_id, now=self._clock(), terms=self._terms)

    def poll_waits(self, lease: PollLease) -> bool:
        """Whether a poll waits for this lease."""
        with reading(self._engine) as connection:
            return leases.poll_waits(connection, lease)

    def renew(self, lease: PollLease, *, until: datetime) -> PollLease | None:
        """Longer, if it is still ours."""
        with transaction(self._engine) as connection:
            if not leases.change(connection, lease, self._clock(), {"leased_until": until}):
                return None
        return replace(lease, until=until)

    def release(self, lease: PollLease, status: AccountStatus | None = None) -> None:
        """Give it back and record how it went."""
        free: dict[str, Any] = {"leased_until": None, leases.begun_count(background=lease.background).name: 0}
        now = self._clock()
        with transaction(self._engine) as connection:
            if status is not None and leases.has_login(connection, lease, status.login_version):
                account_lists.note_turn(connection, leases.ours(lease, now), status, now)
                free |= status_values(status)
            leases.change(connection, lease, now, free)

    def note_visits(self, lease: PollLease, names: Sequence[str]) -> None:
        """These folders had their turn."""
        now = self._clock()
        with transaction(self._engine) as connection:
            if names and leases.hold(connection, lease, now):
                here = and_(folders.c.account_id == lease.account_id, folders.c.folder.in_(names))
                connection.execute(update(folders).where(here).values(visited_at=now))

    def cursors(self, account_id: int) -> dict[str, FolderCursor]:
        """By folder."""
        with reading(self._engine) as connection:
            return leases.cursors(connection, account_id)

    def save_cursor(self, lease: PollLease, cursor: FolderCursor) -> bool:
        """Create or change a cursor while the lease is ours."""
        now = self._clock()
        with transaction(self._engine) as connection:
            if not leases.hold(connection, lease, now):
                return False
            leases.save_cursor(connection, cursor, now)
        return True


def _living(connection: Connection, account: int | str, *, for_update: bool = False) -> Row[Any]:
    named = accounts.c.name == account if isinstance(account, str) else accounts.c.id == account
    wanted = select(accounts).where(named, _LIVING)
    row = connection.execute(wanted.with_for_update() if for_update else wanted).one_or_none()
    if row is None:
        raise NotFoundError("account", account=account)
    return row


def _retire(connection: Connection, account_id: int, now: datetime) -> None:
    """Forget what opens it. A poll under way loses its lease."""
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(removed_at=now, secret=b""))
    _drop_tokens(connection, account_id)
    _end_lease(connection, account_id)


def _removed(connection: Connection, account: Account, key: object, besides: int | None) -> Row[Any] | None:
    """The removed row of this mailbox and name, except `besides`; a row with the same key comes first."""
    same = and_(
        accounts.c.name == account.name,
        func.lower(accounts.c.host) == account.host.lower(),
        accounts.c.login == account.user,
    )
    wanted = (
        select(accounts.c.id)
        .where(accounts.c.removed_at.is_not(None), or_(accounts.c.key == key, same), accounts.c.id != (besides or 0))
        .order_by((accounts.c.key == key).desc(), accounts.c.removed_at.desc())
        .limit(1)
    )
    return connection.execute(wanted).one_or_none()


def _reset_state(connection: Connection, account_id: int) -> None:
    """Its folders begin at its start point again, as a new account's do."""
    connection.execute(delete(folders).where(folders.c.account_id == account_id))
    _end_lease(connection, account_id)
    fresh = dict.fromkeys(("unaccounted", "reconciled_at", "notes", "begun_at"))
    initial = status_values(AccountStatus()) | fresh
    connection.execute(update(account_states).where(account_states.c.account_id == account_id).values(initial))


def _end_lease(connection: Connection, account_id: int) -> None:
    connection.execute(
        update(account_states)
        .where(account_states.c.account_id == account_id)
        .values(leased_until=None, fence=account_states.c.fence + 1)
    )


def _drop_tokens(connection: Connection, account_id: int) -> None:
    for table in (oauth_grants, oauth_requests):
        connection.execute(delete(table).where(table.c.account_id == account_id))


def forgive(connection: Connection, account_id: int) -> None:
    """The refusal was of the old login: the new one is tried at the next poll. A poll under way is of the old one."""
    here = account_states.c.account_id == account_id
    connection.execute(update(account_states).where(here).values(login_version=account_states.c.login_version + 1))
    refused = and_(account_states.c.account_id == account_id, account_states.c.state == AccountState.AUTH_FAILED.value)
    forgiven = {"state": AccountState.NEW.value, "failures": 0, "next_try": None}
    cleared = dict.fromkeys(("last_error", "last_error_code", "last_error_at"))
    connection.execute(update(account_states).where(refused).values(forgiven | cleared))


@contextmanager
def _one_of_a_name(name: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise ExistsError("account", account=name) from error
