"""The secrets in the database: that the key opens them, sealing them anew, forgetting what no key opens (A3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, Row, Table, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.outbox_tables import handlers
from concord.adapters.sql.tables import account_states, accounts, meta
from concord.adapters.sql.upsert import insert_for
from concord.errors import SecretKeyError
from concord.model.account import AccountState
from concord.ports import Vault

_CHECK: Final = "vault_check"
_PLAIN: Final = "concord"
_FORGOTTEN: Final = SecretKeyError("The password was dropped: the key that sealed it is lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did. `unopened` names what no key opens: those accounts and handlers need their secret again."""

    accounts: int
    handlers: int
    unopened: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Accounts and handlers by name whose secret no key opens."""

    accounts: tuple[str, ...]
    handlers: tuple[str, ...]


def verify_key(engine: Engine, vault: Vault) -> None:
    """Raise SecretKeyError where the key is not this database's. The first key a database sees becomes its own."""
    sealed = _check_value(engine)
    if sealed is None:
        with transaction(engine) as connection:
            put = insert_for(connection, meta).values(key=_CHECK, value=vault.seal(_PLAIN).decode())
            # Two processes may start at once: the first one's key counts for both.
            connection.execute(put.on_conflict_do_nothing())
        sealed = _check_value(engine)
    try:
        vault.unseal((sealed or "").encode())
    except SecretKeyError as error:
        raise SecretKeyError(
            "The key does not open this database's secrets",
            remedy=(
                "Put back the key this database was made with, as the credential file 'secret_key'; where it is lost, "
                "'concord secrets forget' drops what only it could open"
            ),
        ) from error


def rotate(engine: Engine, vault: Vault) -> Rotation:
    """Seal every secret anew under the newest key.

    While everything runs; each row in a transaction of its own, so that it may be killed and begun again at any point.
    The check value goes last: while an old key is still needed, it still opens the check.
    """
    unopened: list[str] = []
    done = [_rotate_table(engine, vault, table, unopened) for table in (accounts, handlers)]
    with transaction(engine) as connection:
        sealed = connection.execute(select(meta.c.value).where(meta.c.key == _CHECK)).scalar_one_or_none()
        if sealed is not None:
            anew = vault.reseal(sealed.encode()).decode()
            connection.execute(update(meta).where(meta.c.key == _CHECK, meta.c.value == sealed).values(value=anew))
    return Rotation(accounts=done[0], handlers=done[1], unopened=tuple(unopened))


def closed(engine: Engine, vault: Vault) -> Closed:
    """What no key opens."""
    return Closed(
        accounts=tuple(row.name for row in _closed(engine, vault, accounts)),
        handlers=tuple(row.name for row in _closed(engine, vault, handlers)),
    )


def forget(engine: Engine, vault: Vault, now: datetime) -> Closed:
    """Drop every secret that no key opens, and make the present key the database's.

    Accounts and handlers that had one are disabled: without its password an account cannot be polled, and without its
    secret a webhook would go out unsigned. Each row in a transaction of its own, the check value last, so that it may
    be killed and begun again at any point.
    """
    gone = Closed(
        accounts=tuple(row.name for row in _closed(engine, vault, accounts) if _forget_account(engine, row, now)),
        handlers=tuple(row.name for row in _closed(engine, vault, handlers) if _forget_row(engine, handlers, row)),
    )
    with transaction(engine) as connection:
        fresh = vault.seal(_PLAIN).decode()
        put = insert_for(connection, meta).values(key=_CHECK, value=fresh)
        connection.execute(put.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": fresh}))
    return gone


def _closed(engine: Engine, vault: Vault, table: Table) -> Sequence[Row[Any, Any, Any]]:
    wanted = select(table.c.id, table.c.name, table.c.secret).where(table.c.secret != b"").order_by(table.c.name)
    with reading(engine) as connection:
        rows: Sequence[Row[Any, Any, Any]] = connection.execute(wanted).all()
    return [row for row in rows if not _opens(vault, row.secret)]


def _opens(vault: Vault, secret: bytes) -> bool:
    try:
        vault.unseal(secret)
    except SecretKeyError:
        return False
    return True


def _forget_row(engine: Engine, table: Table, row: Row[Any, Any, Any]) -> bool:
    """Unless somebody gave it another secret meanwhile."""
    with transaction(engine) as connection:
        same = (table.c.id == row.id) & (table.c.secret == row.secret)
        return connection.execute(update(table).where(same).values(secret=b"", enabled=False)).rowcount == 1


def _forget_account(engine: Engine, row: Row[Any, Any, Any], now: datetime) -> bool:
    if not _forget_row(engine, accounts, row):
        return False
    told = {
        "state": AccountState.AUTH_FAILED.value,
        "last_error": f"{_FORGOTTEN.message}. {_again(row.name)}",
        "last_error_code": _FORGOTTEN.code,
        "last_error_at": now,
    }
    with transaction(engine) as connection:
        put = insert_for(connection, account_states).values(account_id=row.id, **told)
        connection.execute(put.on_conflict_do_update(index_elements=[account_states.c.account_id], set_=told))
    return True


def _again(account: str) -> str:
    return f"Give it again: concord account edit {account} --password-stdin, then concord account enable {account}"


def _check_value(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return connection.execute(select(meta.c.value).where(meta.c.key == _CHECK)).scalar_one_or_none()


def _rotate_table(engine: Engine, vault: Vault, table: Table, unopened: list[str]) -> int:
    with reading(engine) as connection:
        rows = connection.execute(select(table.c.id, table.c.name).where(table.c.secret != b"")).all()
    done = 0
    for row in rows:
        try:
            done += _rotate_row(engine, vault, table, row.id)
        except SecretKeyError:
            unopened.append(row.name)
    return done


def _rotate_row(engine: Engine, vault: Vault, table: Table, row_id: int) -> bool:
    here = table.c.id == row_id
    with transaction(engine) as connection:
        # Locked: nobody can give the account another password between reading this one and writing it.
        wanted = select(table.c.secret).where(here, table.c.secret != b"").with_for_update()
        sealed = connection.execute(wanted).scalar_one_or_none()
        if sealed is None:
            return False
        connection.execute(update(table).where(here).values(secret=vault.reseal(sealed)))
    return True
