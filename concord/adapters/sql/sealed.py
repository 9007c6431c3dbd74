"""The secrets that lie in the database: that the key opens them, and sealing them anew under the newest one (A3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, Table, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.outbox_tables import handlers
from concord.adapters.sql.tables import accounts, meta
from concord.adapters.sql.upsert import insert_for
from concord.errors import SecretKeyError
from concord.ports import Vault

_CHECK: Final = "vault_check"
_PLAIN: Final = "concord"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did. `unopened` names what no key opens: those accounts and handlers need their secret again."""

    accounts: int
    handlers: int
    unopened: tuple[str, ...]


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
            remedy="Put back the key this database was made with, as the credential file 'secret_key'",
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
