"""The key that opens stored secrets: checking it, dropping what it cannot open (A3). See `rotation` for changing it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from concord.adapters.sql import sealed
from concord.auditing import audited
from concord.errors import SecretKeyError
from concord.model.caller import Caller
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def check(parts: Concord) -> int:
    """How many secrets the key opens: all. Raises SecretKeyError, which names those it does not open."""
    vault = parts.sealing()
    stored = {f"account '{one.name}'": one.secret for one in parts.accounts.all() if one.secret}
    stored |= {f"handler '{one.name}'": one.secret for one in parts.rulebook.handlers() if one.secret}
    stored |= {f"OAuth2 client '{one.name}'": one.secret for one in parts.oauth_clients.all() if one.secret}
    grants = ((one.name, parts.oauth_grants.get(one.id)) for one in parts.accounts.all() if one.auth.is_oauth)
    stored |= {f"sign-in of '{name}'": grant.refresh_token for name, grant in grants if grant and grant.refresh_token}
    closed = []
    for name, secret in stored.items():
        try:
            vault.unseal(secret)
        except SecretKeyError:
            closed.append(name)
    if closed:
        raise SecretKeyError("partial", closed=", ".join(closed))
    return len(stored)


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
