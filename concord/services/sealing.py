"""The vault, proven to be this database's before anything is sealed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concord.adapters.sql.sealed import verify_key
from concord.ports import Vault

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def sealing(parts: Concord) -> Vault:
    """What a wrong key seals, nobody could open again. Raises SecretKeyError."""
    vault = parts.vault
    verify_key(parts.engine, vault)
    return vault
