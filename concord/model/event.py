"""The UnifiedEvent: the one shape every mail takes once Concord has understood it.

Values only: nothing here reads, writes or asks the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

EMAIL_RECEIVED: Final = "concord.email.received"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnifiedEvent:
    """What happened, when, and where the evidence lies. Serialises as CloudEvents 1.0 JSON."""

    id: UUID
    type: str = EMAIL_RECEIVED
    source: str  # URI reference: /accounts/NAME
    subject: str  # of the event, CloudEvents' sense: folder/uidvalidity/uid
    time: datetime
    data: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if self.time.utcoffset() is None:
            raise ValueError("an event's time must carry a time zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event as lists show it; the document itself lies in the archive."""

    id: UUID
    message_id: int
    account: str
    type: str
    time: datetime
    subject: str  # of the mail
    sender: str
    archive_key: str
    created_at: datetime
