"""The key that opens stored secrets: checking it, dropping what it cannot open (A3). See `rotation` for changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from concord.adapters.sql import sealed
from concord.auditing import audited
from concord.errors import SecretKeyError, SecretMovedError
from concord.model import binding
from concord.model.account import Account
from concord.model.binding import Binding
from concord.model.caller import Caller
from concord.model.oauth import OAuthClient, OAuthGrant
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def check(parts: Concord) -> int:
    """How many secrets the key opens: all. Raises SecretKeyError, which names those it does not open."""
    vault = parts.sealing()
    stored = list(_stored(parts))
    closed, moved = [], []
    for name, secret, where in stored:
        try:
            vault.unseal(secret, where)
        except SecretMovedError:
            moved.append(name)
        except SecretKeyError:
            closed.append(name)
    if moved:
        raise SecretMovedError("several", places=", ".join(moved))
    if closed:
        raise SecretKeyError("partial", closed=", ".join(closed))
    return len(stored)


def _stored(parts: Concord) -> Iterator[tuple[str, bytes, Binding]]:
    """What a person calls each secret, the secret, and what it is bound to."""
    accounts, clients = parts.accounts.all(), parts.oauth_clients.all()
    yield from ((f"account '{one.name}'", one.secret, binding.of_password(one)) for one in accounts if one.secret)
    for handler in parts.rulebook.handlers():
        if handler.secret:
            yield f"handler '{handler.name}'", handler.secret, binding.of_handler(handler)
    yield from ((f"OAuth2 client '{one.name}'", one.secret, binding.of_client(one)) for one in clients if one.secret)
    by_id = {client.id: client for client in clients}
    for account in accounts:
        grant = parts.oauth_grants.get(account.id) if account.auth.is_oauth else None
        if grant and grant.client_id in by_id:
            yield from _tokens(account, by_id[grant.client_id], grant)


def _tokens(account: Account, client: OAuthClient, grant: OAuthGrant) -> Iterator[tuple[str, bytes, Binding]]:
    if grant.refresh_token:
        yield f"sign-in of '{account.name}'", grant.refresh_token, binding.of_refresh_token(account, client)
    if grant.access_token:
        yield f"token of '{account.name}'", grant.access_token, binding.of_access_token(account, client)


def forget(
    parts: Concord, *, agreed: Callable[[list[str]], object], by: Caller
) -> tuple[sealed.Closed, Followed | None]:
    """Drop every stored secret that no key opens, and switch off what had one; `agreed` is asked with their names."""
    engine, vault = parts.engine, parts.vault
    found = sealed.closed(engine, vault)
    if names := [*found.accounts, *found.handlers, *found.clients, *found.signed_in]:
        agreed(names)
    with audited(parts.audit, by, "secrets.forget", detail=", ".join(names) or "nothing was closed"):
        _forget_lost_rotation(parts)
        gone = sealed.forget(engine, vault, datetime.now(UTC))
    return gone, follow(parts) if gone.accounts or gone.signed_in else None


def _forget_lost_rotation(parts: Concord) -> None:
    """One whose key is lost would have nothing sealed any more."""
    rotation = parts.key_ring.read().rotation
    if rotation and rotation.new not in parts.vault.look().fingerprints:
        parts.key_ring.clear()
