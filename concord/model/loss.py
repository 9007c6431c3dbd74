"""A message whose raw bytes the archive lacks: where the server had them, and what asking again brought."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# The error codes of a message that waits for its bytes.
LOSS_CODES: Final = frozenset({"archive_missing", "archive_damaged"})


class Verdict(StrEnum):
    """What asking the server for the bytes again brought."""

    UNREADABLE = "unreadable"  # it lists the message and does not hand it over
    GONE = "gone"  # the message or its folder is there no more
    CHANGED = "changed"  # other bytes under the same UID
    RENUMBERED = "renumbered"  # another UIDVALIDITY: the UID means nothing now


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is needed to ask for a message's bytes again, and to recognise them."""

    message_id: int
    folder: str
    uidvalidity: int
    uid: int
    sha256: str
    archive_key: str
