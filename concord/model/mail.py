"""A mail as understood: what any bytes at all become when they are read as MIME (RFC 5322, 2045 to 2049, 2231)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from concord.model.account import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One mailbox of an address header: the display name, decoded, and the addr-spec as written."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A part that is kept as a file. `content` is its decoded octets."""

    name: str  # safe to show; never a path
    content_type: str  # type/subtype, lower case
    size: int  # octets, decoded
    sha256: str
    content_id: str | None = None
    inline: bool = False
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMail:
    """The reading of one mail. What was wrong with it is listed in `defects`, never raised."""

    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    from_: tuple[Address, ...]
    sender: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    subject: str
    date: datetime | None  # aware, in UTC
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]  # every header in order, decoded, unfolded
    priority: Priority | None
    defects: tuple[str, ...]  # constant kebab-case words, each once, sorted
