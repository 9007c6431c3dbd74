"""The vault, proven to be this database's before anything is sealed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concord.cli.session import here

if TYPE_CHECKING:
    from concord.ports import Vault


def sealing() -> Vault:
    """What a wrong key seals, nobody could open again. Raises SecretKeyError."""
    from concord.adapters.sql.sealed import verify_key

    vault = here().vault
    verify_key(here().engine, vault)
    return vault
