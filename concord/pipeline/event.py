"""The event a mail becomes: its id and place, its document as octets, and the keys under which its parts are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID, uuid5

from concord import mime
from concord.errors import ArchiveDamagedError
from concord.mime.defect import Defect
from concord.model.account import NAMESPACE, Priority
from concord.model.event import UnifiedEvent
from concord.model.mail import Address, Attachment, ParsedMail
from concord.model.message import Message

SCHEMA: Final = "urn:concord:schema:email-received:v1"
# A document is read whole by handlers, receivers and pages; the whole text lies in the archive under `raw_key`.
MOST_TEXT: Final = 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def build(
    message: Message, mail: ParsedMail, *, priority: Priority, attachment_keys: Mapping[str, str]
) -> UnifiedEvent:
    """Put together what the ledger knows of a message and what its mail says.

    `attachment_keys` gives the archive key for each attachment's SHA-256.
    """
    if message.sha256 is None or message.size is None:
        raise ValueError("a message without its bytes is no event yet")
    place = {
        "account": message.account,
        "folder": message.folder,
        "uidvalidity": message.uidvalidity,
        "uid": message.uid,
    }
    kept = {
        "flags": list(message.flags),
        "size": message.size,
        "sha256": message.sha256,
        "raw_key": message.archive_key or raw_key(message.account_id, message.sha256, message.internal_date),
        "priority": priority.value,
    }
    return UnifiedEvent(
        id=message.event_id,
        source=f"/accounts/{quote(message.account, safe='')}",
        subject=f"{message.folder}/{message.uidvalidity}/{message.uid}",
        time=message.internal_date or mail.date or message.seen_at,
        data=_data(place, mail, kept, attachment_keys),
    )


def preview(raw: bytes) -> dict[str, Any]:
    """The document a mail file would become. It has no account and is stored nowhere: its places are empty."""
    mail = mime.read(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    place = {"account": "", "folder": "", "uidvalidity": 0, "uid": 0}
    priority = mail.priority or Priority.NORMAL
    kept = {"flags": [], "size": len(raw), "sha256": sha256, "raw_key": "", "priority": priority.value}
    return to_document(
        UnifiedEvent(
            id=uuid5(NAMESPACE, sha256),
            source="/files",
            subject=sha256,
            time=mail.date or _EPOCH,
            data=_data(place, mail, kept, {}),
        )
    )


def to_document(event: UnifiedEvent) -> dict[str, Any]:
    """CloudEvents 1.0 in its JSON format."""
    return {
        "specversion": "1.0",
        "id": str(event.id),
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": _rfc3339(event.time),
        "datacontenttype": "application/json",
        "dataschema": SCHEMA,
        "data": dict(event.data),
    }


def serialise(event: UnifiedEvent) -> bytes:
    """The document's octets: the same event always gives the same ones."""
    text = json.dumps(to_document(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Folder names and flags come from servers; half a character in one must not stop the event.
    return text.encode("utf-8", "replace")


def from_document(document: bytes) -> dict[str, Any]:
    """Read a stored document again. Raises ArchiveDamagedError if it is none."""
    try:
        found = json.loads(document)
    except ValueError as error:
        raise ArchiveDamagedError("event_no_json", size=len(document)) from error
    if not isinstance(found, dict):
        raise ArchiveDamagedError("event_no_object", size=len(document))
    return found


def raw_key(account_id: int, sha256: str, received: datetime | None) -> str:
    """Where a mail's own octets are kept. `received` is its INTERNALDATE, which a server never changes."""
    return f"raw/{account_id}/{_month(received)}/{sha256}.eml"


def part_key(account_id: int, sha256: str, received: datetime | None) -> str:
    """Where an attachment's octets are kept, beside those of the same month."""
    return f"parts/{account_id}/{_month(received)}/{sha256}"


def event_key(account_id: int, event_id: UUID, sha256: str, received: datetime | None) -> str:
    """Where an event's document is kept. Its content is in the name: read differently one day, it is another object."""
    return f"events/{account_id}/{_month(received)}/{event_id}-{sha256[:16]}.json"


def _month(received: datetime | None) -> str:
    """A folder for each month: a batch of mails makes few of them durable, and retention can go by them."""
    return f"{received.astimezone(UTC):%Y/%m}" if received else "undated"


def _data(
    place: Mapping[str, Any], mail: ParsedMail, kept: Mapping[str, Any], keys: Mapping[str, str]
) -> dict[str, Any]:
    defects = set(mail.defects)
    text = _cut(mail.text, Defect.TEXT_TRUNCATED, defects)
    html = _cut(mail.html, Defect.HTML_TRUNCATED, defects)
    return {
        **place,
        "message_id": mail.message_id,
        "thread": {"in_reply_to": list(mail.in_reply_to), "references": list(mail.references)},
        "from": _people(mail.from_),
        "to": _people(mail.to),
        "cc": _people(mail.cc),
        "bcc": _people(mail.bcc),
        "reply_to": _people(mail.reply_to),
        "subject": mail.subject,
        "date": None if mail.date is None else _rfc3339(mail.date),
        "text": text,
        "html": html,
        "attachments": [_file(one, keys.get(one.sha256, "")) for one in mail.attachments],
        "headers": [list(pair) for pair in mail.headers],
        **kept,
        "defects": sorted(defects),
    }


def _people(people: Sequence[Address]) -> list[dict[str, str]]:
    return [{"name": one.name, "address": one.address} for one in people]


def _file(one: Attachment, key: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": one.content_type,
        "size": one.size,
        "sha256": one.sha256,
        "content_id": one.content_id,
        "inline": one.inline,
        "key": key,
    }


def _cut(text: str | None, defect: Defect, defects: set[str]) -> str | None:
    if text is None or len(text) * 4 <= MOST_TEXT:
        return text
    octets = text.encode()
    if len(octets) <= MOST_TEXT:
        return text
    defects.add(defect.value)
    return octets[:MOST_TEXT].decode("utf-8", "ignore")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
