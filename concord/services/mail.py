"""Reading one mail as people do: its text, its attachments, its raw octets; each reading is written into the audit.

What was understood when it was processed is read from the event's document; a mail that has none yet is read anew.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from concord import mime
from concord.auditing import audited
from concord.errors import ArchiveLossError, ArchiveMissingError, NotFoundError, PermanentError
from concord.model.caller import Caller
from concord.model.event import EventRow
from concord.model.mail import Address, Attachment, ParsedMail
from concord.model.message import Message
from concord.pipeline.event import from_document

if TYPE_CHECKING:
    from concord.bootstrap import Concord

# A bigger mail is not taken apart while somebody waits for a page.
MOST_READ: Final = 32_000_000  # octets
_CHUNK: Final = 256 * 1024


class MailTooBigError(PermanentError):
    """It can be had as it is, not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPart:
    """An attachment as it is listed. Where its octets lie only Concord knows: they are asked for by number."""

    number: int  # its place in the mail, from 0
    name: str
    content_type: str
    size: int  # octets
    content_id: str | None
    inline: bool
    key: str = field(default="", repr=False)  # in the archive; empty: only within the mail
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMail:
    """A mail as a person reads it."""

    message: Message
    from_: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    subject: str
    date: datetime | None
    message_id: str | None
    text: str | None
    html: str | None
    parts: tuple[ShownPart, ...]
    headers: tuple[tuple[str, str], ...]
    defects: tuple[str, ...]


def open_mail(concord: Concord, message: Message, *, by: Caller) -> ShownMail:
    """Somebody reads it: that is written down. Raises ArchiveError's children, MailTooBigError."""
    with audited(concord.audit, by, "message.read", f"message {message.id}"):
        return look_at(concord, message)


def open_raw(concord: Concord, message: Message, *, by: Caller) -> Generator[bytes, None, None]:
    """The octets as they came, written down as read. Raises ArchiveMissingError, ArchiveDownError."""
    with audited(concord.audit, by, "message.read", f"message {message.id}", detail="as it came"):
        if message.archive_key is None:
            raise _never_archived(message)
        return _pieces(concord.archive.open(message.archive_key))


def open_part(
    concord: Concord, message: Message, number: int, *, by: Caller
) -> tuple[ShownPart, Generator[bytes, None, None]]:
    """An attachment and its octets, written down as read. Raises NotFoundError, and what `open_mail` raises."""
    with audited(concord.audit, by, "attachment.read", f"message {message.id}") as note:
        part = _part(look_at(concord, message), number)
        note.detail = part.name
        return part, content_of(concord, message, part)


def open_event(concord: Concord, event: EventRow, *, by: Caller) -> dict[str, Any]:
    """The document that handlers get; the whole mail is in it. Raises what the archive raises."""
    with audited(concord.audit, by, "event.read", str(event.id)):
        return _document(concord, event)


def look_at(concord: Concord, message: Message) -> ShownMail:
    """The same without writing it down: for the parts of a mail that somebody has open."""
    event = concord.outbox.event_of(message.id)
    if event is not None:
        return _of_document(message, _document(concord, event))
    if message.archive_key is None:
        raise _never_archived(message)
    if (message.size or 0) > MOST_READ:
        raise MailTooBigError(octets=message.size)
    return _of_mail(message, mime.read(concord.archive.read(message.archive_key, sha256=message.sha256)))


def content_of(concord: Concord, message: Message, part: ShownPart) -> Generator[bytes, None, None]:
    """The part's octets, some at a time; a lost one is taken from the mail again. Raises what `open_raw` raises."""
    if not part.key:
        return _whole(part.content)
    try:
        return _pieces(concord.archive.open(part.key))
    except ArchiveLossError:
        concord.documents.restore(message.id)
        return _pieces(concord.archive.open(part.key))


def _document(concord: Concord, event: EventRow) -> dict[str, Any]:
    return from_document(concord.documents.read(event.id, event.message_id, event.archive_key))


def _part(mail: ShownMail, number: int) -> ShownPart:
    if not 0 <= number < len(mail.parts):
        raise NotFoundError("attachment", attachment=number)
    return mail.parts[number]


def _never_archived(message: Message) -> ArchiveMissingError:
    return ArchiveMissingError("never_archived.retrying", message_id=message.id)


def _pieces(stream: BinaryIO) -> Generator[bytes, None, None]:
    with closing(stream):
        while piece := stream.read(_CHUNK):
            yield piece


def _whole(content: bytes) -> Generator[bytes, None, None]:
    yield content


def _of_mail(message: Message, mail: ParsedMail) -> ShownMail:
    return ShownMail(
        message=message,
        from_=mail.from_,
        to=mail.to,
        cc=mail.cc,
        bcc=mail.bcc,
        reply_to=mail.reply_to,
        subject=mail.subject,
        date=mail.date,
        message_id=mail.message_id,
        text=mail.text,
        html=mail.html,
        parts=tuple(_of_attachment(number, one) for number, one in enumerate(mail.attachments)),
        headers=mail.headers,
        defects=mail.defects,
    )


def _of_attachment(number: int, one: Attachment) -> ShownPart:
    return ShownPart(
        number=number,
        name=one.name,
        content_type=one.content_type,
        size=one.size,
        content_id=one.content_id,
        inline=one.inline,
        content=one.content,
    )


def _of_document(message: Message, document: Mapping[str, Any]) -> ShownMail:
    """Our own document, as `concord.pipeline.event` wrote it."""
    data: Mapping[str, Any] = document["data"]
    return ShownMail(
        message=message,
        from_=_people(data["from"]),
        to=_people(data["to"]),
        cc=_people(data["cc"]),
        bcc=_people(data["bcc"]),
        reply_to=_people(data["reply_to"]),
        subject=data["subject"],
        date=datetime.fromisoformat(data["date"]) if data["date"] else None,
        message_id=data["message_id"],
        text=data["text"],
        html=data["html"],
        parts=tuple(_of_entry(number, one) for number, one in enumerate(data["attachments"])),
        headers=tuple((name, value) for name, value in data["headers"]),
        defects=tuple(data["defects"]),
    )


def _of_entry(number: int, one: Mapping[str, Any]) -> ShownPart:
    return ShownPart(
        number=number,
        name=one["name"],
        content_type=one["type"],
        size=one["size"],
        content_id=one["content_id"],
        inline=one["inline"],
        key=one["key"],
    )


def _people(people: Sequence[Mapping[str, str]]) -> tuple[Address, ...]:
    return tuple(Address(name=one["name"], address=one["address"]) for one in people)
