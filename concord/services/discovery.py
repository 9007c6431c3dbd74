"""Finding the IMAP server of a mail address. It asks others and changes nothing, so that nothing is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concord.model.discovery import Discovery

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def discover(parts: Concord, address: str) -> Discovery:
    """Ask everybody who may know, for discovery.timeout at most. Raises UsageError where it is no mail address."""
    return parts.discoverer.find(address)
