"""Looking at accounts: lists with how they do, how many do how, and when one's state became another."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal, or_, select

from concord.adapters.sql.account_rows import account_of, status_of
from concord.adapters.sql.lists import narrow
from concord.adapters.sql.losses import LOST
from concord.adapters.sql.tables import account_states, account_turns, accounts
from concord.model.account import Account, AccountFilter, AccountState, AccountStatus, AccountTurn

DISABLED: Final = "disabled"
KEPT_TURNS: Final = 100
_WELL: Final = (AccountState.NEW.value, AccountState.OK.value)


def search(connection: Connection, narrowed: AccountFilter) -> list[tuple[Account, AccountStatus]]:
    """By name."""
    wanted = _narrow(_both(), narrowed).order_by(accounts.c.name).limit(narrowed.limit)
    return [(account_of(row), status_of(row)) for row in connection.execute(wanted)]


def failing(connection: Connection, limit: int) -> list[tuple[Account, AccountStatus]]:
    """The latest failure first."""
    wanted = _narrow(_both(), AccountFilter(failing=True))
    ordered = wanted.order_by(account_states.c.last_error_at.desc(), accounts.c.id).limit(limit)
    return [(account_of(row), status_of(row)) for row in connection.execute(ordered)]


def counts(connection: Connection) -> dict[str, int]:
    """By state; `disabled` are those switched off."""
    wanted = (
        select(account_states.c.state, accounts.c.enabled, func.count().label("rows"))
        .join(accounts)
        .where(accounts.c.removed_at.is_(None))
        .group_by(account_states.c.state, accounts.c.enabled)
    )
    found: dict[str, int] = {}
    for row in connection.execute(wanted):
        state = row.state if row.enabled else DISABLED
        found[state] = found.get(state, 0) + int(row.rows)
    return found


def note_turn(connection: Connection, ours: ColumnElement[bool], status: AccountStatus, now: datetime) -> None:
    """Write down a state that differs from the one there is; `ours` says whose row it is, while it is ours."""
    is_trouble = status.state.value not in _WELL
    row = select(
        account_states.c.account_id,
        literal(now, account_turns.c.at.type),
        literal(status.state.value, account_turns.c.state.type),
        literal(status.last_error if is_trouble else None, account_turns.c.error.type),
    ).where(ours, account_states.c.state != status.state.value)
    turned = insert(account_turns).from_select(["account_id", "at", "state", "error"], row)
    for account_id in connection.execute(turned.returning(account_turns.c.account_id)).scalars().all():
        _forget_oldest(connection, account_id)


def turns(connection: Connection, account_id: int, limit: int) -> list[AccountTurn]:
    """The newest first."""
    wanted = (
        select(account_turns)
        .where(account_turns.c.account_id == account_id)
        .order_by(account_turns.c.id.desc())
        .limit(limit)
    )
    return [
        AccountTurn(at=row.at, state=AccountState(row.state), error=row.error) for row in connection.execute(wanted)
    ]


def _both() -> Select[Any]:
    return select(accounts, account_states, LOST).join(account_states).where(accounts.c.removed_at.is_(None))


def _narrow(wanted: Select[Any], narrowed: AccountFilter) -> Select[Any]:
    if narrowed.search:
        held = (accounts.c.name, accounts.c.host, accounts.c.login)
        wanted = wanted.where(or_(*(column.icontains(narrowed.search, autoescape=True) for column in held)))
    if narrowed.failing:
        wanted = wanted.where(accounts.c.enabled, account_states.c.state.not_in(_WELL))
    if narrowed.state:
        wanted = wanted.where(accounts.c.enabled)
    return narrow(
        wanted,
        (account_states.c.state.__eq__, narrowed.state and narrowed.state.value),
        (accounts.c.enabled.is_, narrowed.enabled),
        (accounts.c.name.__gt__, narrowed.after),
    )


def _forget_oldest(connection: Connection, account_id: int) -> None:
    of = account_turns.c.account_id == account_id
    kept = select(account_turns.c.id).where(of).order_by(account_turns.c.id.desc()).limit(KEPT_TURNS)
    connection.execute(delete(account_turns).where(of, account_turns.c.id.not_in(kept)))
