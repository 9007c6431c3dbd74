"""The secrets in the database: checking that the key opens them, re-sealing them, forgetting what no key opens (A3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Column, Engine, Row, Select, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.key_ring import CHECK_KEY
from concord.adapters.sql.oauth_tables import oauth_clients, oauth_grants
from concord.adapters.sql.outbox_tables import handlers
from concord.adapters.sql.tables import account_states, accounts, meta
from concord.adapters.sql.upsert import insert_for
from concord.adapters.vault import PLAIN_CHECK, KeySet
from concord.errors import SecretKeyError
from concord.model import binding
from concord.model.account import Account, AccountState, Tls
from concord.model.binding import CHECK, Binding
from concord.model.fault import dump
from concord.model.oauth import OAuthClient, OAuthProvider
from concord.model.rule import HandlerSpec
from concord.ports import Vault

_PLAIN: Final = PLAIN_CHECK
# Rows that are re-sealed in one transaction.
_BATCH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """How many secrets the newest key seals now. `unopened` names what no key opens: they need their secret again."""

    accounts: int
    handlers: int
    unopened: tuple[str, ...]
    clients: int = 0  # of OAuth2
    tokens: int = 0  # of signed-in mailboxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Names of accounts, handlers and OAuth2 clients whose secret no key opens, and of accounts with such tokens."""

    accounts: tuple[str, ...]
    handlers: tuple[str, ...]
    clients: tuple[str, ...] = ()
    signed_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where ciphertext lies: its column, the row's key, and what people call the row."""

    column: Column[bytes]
    key: Column[int]
    name: Column[str]
    facts: tuple[Column[Any], ...]
    binding: Callable[[Row[Any, Any, Any]], Binding]

    @property
    def rows(self) -> Select[Any, Any, Any]:
        """`key`, `name`, `secret` and the facts that it is bound to, of those that have one, by name."""
        facts = [column.label(f"{column.table.name}_{column.name}") for column in self.facts]
        said = select(self.key.label("key"), self.name.label("name"), self.column.label("secret"), *facts)
        if self.name.table is not self.key.table:
            said = said.join(self.name.table, self.name.table.c.id == self.key)
            said = said.join(oauth_clients, oauth_clients.c.id == oauth_grants.c.client_id)
        return said.where(self.column != b"").order_by(self.name)


def _account(row: Row[Any, Any, Any]) -> Account:
    """As much of an account as a binding needs."""
    return Account(
        name=row.name,
        host=row.accounts_host,
        port=row.accounts_port,
        tls=Tls(row.accounts_tls),
        user="",
        ca_file=row.accounts_ca_file,
        ca_pem=row.accounts_ca_pem,
    )


def _client(row: Row[Any, Any, Any]) -> OAuthClient:
    """As much of an OAuth2 client as a binding needs."""
    return OAuthClient(
        name=row.name,
        provider=OAuthProvider(row.oauth_clients_provider),
        client_id=row.oauth_clients_client_id,
        issuer=row.oauth_clients_issuer,
    )


def _handler(row: Row[Any, Any, Any]) -> HandlerSpec:
    return HandlerSpec(name=row.name, kind=row.handlers_kind, options=row.handlers_options)


_SERVER: Final = (accounts.c.host, accounts.c.port, accounts.c.tls, accounts.c.ca_file, accounts.c.ca_pem)
_PROVIDER: Final = (oauth_clients.c.provider, oauth_clients.c.client_id, oauth_clients.c.issuer)
_ACCOUNTS: Final = _Place(
    accounts.c.secret, accounts.c.id, accounts.c.name, _SERVER, lambda row: binding.of_password(_account(row))
)
_HANDLERS: Final = _Place(
    handlers.c.secret,
    handlers.c.id,
    handlers.c.name,
    (handlers.c.kind, handlers.c.options),
    lambda row: binding.of_handler(_handler(row)),
)
_CLIENTS: Final = _Place(
    oauth_clients.c.secret,
    oauth_clients.c.id,
    oauth_clients.c.name,
    _PROVIDER,
    lambda row: binding.of_client(_client(row)),
)
_REFRESH: Final = _Place(
    oauth_grants.c.refresh_token,
    oauth_grants.c.account_id,
    accounts.c.name,
    (*_SERVER, *_PROVIDER),
    lambda row: binding.of_refresh_token(_account(row), _client(row)),
)
_ACCESS: Final = _Place(
    oauth_grants.c.access_token,
    oauth_grants.c.account_id,
    accounts.c.name,
    (*_SERVER, *_PROVIDER),
    lambda row: binding.of_access_token(_account(row), _client(row)),
)
_PLACES: Final = (_ACCOUNTS, _HANDLERS, _CLIENTS, _REFRESH, _ACCESS)


def verify_key(engine: Engine, vault: Vault) -> None:
    """Raise SecretKeyError where the key is not this database's. The first key a database sees becomes its own."""
    sealed = _check_value(engine)
    if sealed is None:
        first = vault.seal(_PLAIN, CHECK).decode()
        with transaction(engine) as connection:
            put = insert_for(connection, meta).values(key=CHECK_KEY, value=first)
            # Two processes may start at once: the first one's key counts for both.
            connection.execute(put.on_conflict_do_nothing())
        sealed = _check_value(engine)
    try:
        vault.unseal((sealed or "").encode(), CHECK)
    except SecretKeyError as error:
        raise SecretKeyError(
            "other_database",
        ) from error


def reseal(engine: Engine, keys: KeySet) -> Resealed:
    """Seal with the newest key whatever another one seals, while everything runs.

    A few rows in each transaction, and none that was changed meanwhile: it may be killed at any point and run again.
    The check value goes last: while an old key is still needed, it still opens the check.
    """
    unopened: list[str] = []
    done = [_reseal_place(engine, keys, place, unopened) for place in _PLACES]
    if (sealed := _check_value(engine)) is not None and not keys.is_newest(sealed.encode(), CHECK):
        fresh = keys.reseal(sealed.encode(), CHECK).decode()
        with transaction(engine) as connection:
            connection.execute(update(meta).where(meta.c.key == CHECK_KEY, meta.c.value == sealed).values(value=fresh))
    return Resealed(
        accounts=done[0],
        handlers=done[1],
        clients=done[2],
        tokens=done[3] + done[4],
        unopened=tuple(dict.fromkeys(unopened)),
    )


def older(engine: Engine, keys: KeySet) -> int:
    """How many secrets another key than the newest seals."""
    with reading(engine) as connection:
        return sum(
            not keys.is_newest(row.secret, place.binding(row))
            for place in _PLACES
            for row in connection.execute(place.rows).all()
        )


def closed(engine: Engine, vault: Vault) -> Closed:
    """What no key opens."""
    names = [
        tuple(row.name for row in _closed(engine, vault, place)) for place in (_ACCOUNTS, _HANDLERS, _CLIENTS, _REFRESH)
    ]
    return Closed(accounts=names[0], handlers=names[1], clients=names[2], signed_in=names[3])


def forget(engine: Engine, vault: Vault, now: datetime) -> Closed:
    """Drop every secret that no key opens, and make the present key the database's.

    Accounts and handlers that had one are disabled: without its password an account cannot be polled, and without its
    secret a webhook would go out unsigned. Each row in a transaction of its own, the check value last, so that it may
    be killed and begun again at any point.
    """
    gone = Closed(
        accounts=tuple(row.name for row in _closed(engine, vault, _ACCOUNTS) if _forget_account(engine, row, now)),
        handlers=tuple(row.name for row in _closed(engine, vault, _HANDLERS) if _forget_row(engine, _HANDLERS, row)),
        clients=tuple(row.name for row in _closed(engine, vault, _CLIENTS) if _forget_row(engine, _CLIENTS, row)),
        signed_in=tuple(row.name for row in _closed(engine, vault, _REFRESH) if _forget_sign_in(engine, row, now)),
    )
    for row in _closed(engine, vault, _ACCESS):
        _forget_row(engine, _ACCESS, row)
    fresh = vault.seal(_PLAIN, CHECK).decode()
    with transaction(engine) as connection:
        put = insert_for(connection, meta).values(key=CHECK_KEY, value=fresh)
        connection.execute(put.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": fresh}))
    return gone


def _closed(engine: Engine, vault: Vault, place: _Place) -> Sequence[Row[Any, Any, Any]]:
    with reading(engine) as connection:
        rows: Sequence[Row[Any, Any, Any]] = connection.execute(place.rows).all()
    return [row for row in rows if not _opens(vault, row.secret, place.binding(row))]


def _opens(vault: Vault, secret: bytes, where: Binding) -> bool:
    try:
        vault.unseal(secret, where)
    except SecretKeyError:
        return False
    return True


def _forget_row(engine: Engine, place: _Place, row: Row[Any, Any, Any]) -> bool:
    """Unless somebody gave it another secret meanwhile. What can be disabled is."""
    gone = {place.column.name: b""} | ({"enabled": False} if "enabled" in place.key.table.c else {})
    same = (place.key == row.key) & (place.column == row.secret)
    with transaction(engine) as connection:
        return connection.execute(update(place.key.table).where(same).values(gone)).rowcount == 1


def _forget_account(engine: Engine, row: Row[Any, Any, Any], now: datetime) -> bool:
    if not _forget_row(engine, _ACCOUNTS, row):
        return False
    _tell(engine, row.key, now, SecretKeyError("password_dropped", account=row.name))
    return True


def _forget_sign_in(engine: Engine, row: Row[Any, Any, Any], now: datetime) -> bool:
    """The account stays enabled: a new sign-in is all that it needs."""
    if not _forget_row(engine, _REFRESH, row):
        return False
    _tell(engine, row.key, now, SecretKeyError("sign_in_dropped", account=row.name))
    return True


def _tell(engine: Engine, account_id: int, now: datetime, error: SecretKeyError) -> None:
    told = {
        "state": AccountState.AUTH_FAILED.value,
        "last_error": dump(error),
        "last_error_code": error.code,
        "last_error_at": now,
    }
    with transaction(engine) as connection:
        put = insert_for(connection, account_states).values(account_id=account_id, **told)
        connection.execute(put.on_conflict_do_update(index_elements=[account_states.c.account_id], set_=told))


def _check_value(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return connection.execute(select(meta.c.value).where(meta.c.key == CHECK_KEY)).scalar_one_or_none()


def _reseal_place(engine: Engine, keys: KeySet, place: _Place, unopened: list[str]) -> int:
    with reading(engine) as connection:
        rows = connection.execute(place.rows).all()
    return sum(_reseal_rows(engine, keys, place, batch, unopened) for batch in _batches(rows))


def _reseal_rows(
    engine: Engine, keys: KeySet, place: _Place, rows: Sequence[Row[Any, Any, Any]], unopened: list[str]
) -> int:
    fresh: dict[int, bytes] = {}
    closed = 0
    for row in rows:
        try:
            where = place.binding(row)
            if not keys.is_newest(row.secret, where):
                fresh[row.key] = keys.reseal(row.secret, where)
        except SecretKeyError:
            unopened.append(row.name)
            closed += 1
    if fresh:
        with transaction(engine) as connection:
            for row in rows:
                if row.key in fresh:
                    # Unless somebody gave it another secret meanwhile.
                    same = (place.key == row.key) & (place.column == row.secret)
                    values = {place.column.name: fresh[row.key]}
                    connection.execute(update(place.key.table).where(same).values(values))
    return len(rows) - closed


def _batches(rows: Sequence[Row[Any, Any, Any]]) -> Iterator[Sequence[Row[Any, Any, Any]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
