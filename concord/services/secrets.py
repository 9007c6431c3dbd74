"""The key that opens stored secrets: checking it, changing it while all runs, dropping what it cannot open (A3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from concord.adapters.sql import sealed
from concord.adapters.vault import new_key
from concord.auditing import audited
from concord.errors import SecretKeyError
from concord.model.caller import Caller
from concord.services import key_file
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a rotation did, and whether the old keys are still in the file."""

    done: sealed.Rotation
    file: Path
    old_keys_kept: bool


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
        raise SecretKeyError(
            "The key does not open every stored secret",
            closed=", ".join(closed),
            remedy="Put the key that sealed them back as one more line of the key file, or give the secrets again",
        )
    return len(stored)


def rotate(parts: Concord, *, keep_old: bool = False, by: Caller) -> Rotated:
    """Make a new key, seal every secret anew under it, then take the old keys away. Killed at any point, run it again.

    Raises SecretKeyError, UsageError.
    """
    with audited(parts.audit, by, "secrets.rotate") as note:
        path = key_file.of_settings(parts.settings)
        vault = parts.sealing()
        fresh = new_key()
        key_file.replace(path, [fresh, *key_file.keys(path)])
        done = sealed.rotate(parts.engine, vault)
        kept = keep_old or bool(done.unopened)
        if not kept:
            # Once more: somebody may have sealed with the old key while the first round went on.
            sealed.rotate(parts.engine, vault)
            key_file.replace(path, [fresh])
        note.detail = (
            f"{done.accounts} accounts, {done.handlers} handlers, {done.clients} OAuth2 clients, "
            f"{done.tokens} tokens, {len(done.unopened)} unopened"
        )
        return Rotated(done=done, file=path, old_keys_kept=kept)


def forget(
    parts: Concord, *, agreed: Callable[[list[str]], object], by: Caller
) -> tuple[sealed.Closed, Followed | None]:
    """Drop every stored secret that no key opens, and switch off what had one; `agreed` is asked with their names."""
    engine, vault = parts.engine, parts.vault
    found = sealed.closed(engine, vault)
    if names := [*found.accounts, *found.handlers, *found.clients, *found.signed_in]:
        agreed(names)
    with audited(parts.audit, by, "secrets.forget", detail=", ".join(names) or "nothing was closed"):
        gone = sealed.forget(engine, vault, datetime.now(UTC))
    return gone, follow(parts) if gone.accounts or gone.signed_in else None
