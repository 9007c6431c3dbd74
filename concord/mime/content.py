"""What a person is shown of a mail's tree: its text, its HTML, and everything else as attachments.

As mail programs do it: of the variants in a multipart/alternative the first plain and the first HTML text count;
further inline texts without a file name follow below, after an empty line; whatever has a file name, or is called an
attachment, or is neither plain text nor HTML, is kept as a file. Nested mails, calendars, TNEF, signatures and reports
are files too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from concord.mime import charset, filename, header, transfer, words
from concord.mime.defect import Defect, Defects
from concord.mime.structure import PLAIN, Part
from concord.model.mail import Attachment

HTML: Final = "text/html"
_NESTED: Final = frozenset({"message/rfc822", "message/global", "message/news"})
_USUAL_NAMES: Final = {
    "text/calendar": "calendar.ics",
    "application/ms-tnef": "winmail.dat",
    "application/vnd.ms-tnef": "winmail.dat",
    "message/delivery-status": "delivery-status.txt",
    "message/disposition-notification": "disposition-notification.txt",
    "text/rfc822-headers": "headers.txt",
    "application/pgp-signature": "signature.asc",
    "application/pgp-encrypted": "pgp-encrypted.txt",
    "application/pkcs7-signature": "smime.p7s",
    "application/x-pkcs7-signature": "smime.p7s",
    "application/pkcs7-mime": "smime.p7m",
    "application/x-pkcs7-mime": "smime.p7m",
}
_EXTENSIONS: Final = {
    "text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "text/xml": ".xml", "application/xml": ".xml",
    "application/json": ".json", "application/pdf": ".pdf", "application/zip": ".zip", "image/png": ".png",
    "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "image/svg+xml": ".svg", "audio/mpeg": ".mp3",
}  # fmt: skip # the platform's own table differs from machine to machine


@dataclass(slots=True)
class Content:
    """What has been gathered so far."""

    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)


def gather(raw: bytes, root: Part, defects: Defects) -> Content:
    """Walk the tree in reading order."""
    content = Content()
    number = 0
    waiting = [(root, _ANYTHING)]
    while waiting:
        part, shown = waiting.pop()
        if part.is_multipart:
            waiting.extend(_with_roles(part, shown))
            continue
        number += 1
        octets = transfer.decode(
            raw[part.start : part.end], part.headers.first("content-transfer-encoding") or "", defects
        )
        if shown and part.content_type in shown and not _is_file(part, number):
            _show(part, octets, content, defects)
        else:
            content.attachments.append(_attachment(part, octets, number, defects))
    return content


_ANYTHING: Final = frozenset({PLAIN, HTML})


def _with_roles(part: Part, shown: frozenset[str]) -> list[tuple[Part, frozenset[str]]]:
    """The children, last first, each with the types of text that may still be shown of it."""
    if part.content_type != "multipart/alternative":
        return [(child, shown) for child in reversed(part.children)]
    roles = []
    left = shown
    for child in part.children:
        offered = _offers(child)
        roles.append((child, left))
        left = left - offered
    return roles[::-1]


def _offers(part: Part) -> frozenset[str]:
    """The types of text in a variant."""
    found, waiting = set(), [part]
    while waiting:
        here = waiting.pop()
        waiting.extend(here.children)
        if not here.is_multipart and here.disposition.value != "attachment":
            found.add(here.content_type)
    return frozenset(found)


def _name(part: Part) -> str:
    return part.disposition.parameters.get("filename") or part.declared.parameters.get("name") or ""


def _is_file(part: Part, number: int) -> bool:
    if part.disposition.value == "attachment":
        return True
    # A few programs give the message text itself a name; it is the first part, and people expect to read it.
    return bool(_name(part)) and number > 1


def _show(part: Part, octets: bytes, content: Content, defects: Defects) -> None:
    label = part.declared.token("charset")
    read = charset.decode_html if part.content_type == HTML else charset.decode
    text = read(octets, label, defects).replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        defects.add(Defect.NUL_BYTES)
        text = text.replace("\0", "")
    (content.htmls if part.content_type == HTML else content.texts).append(text)


def _attachment(part: Part, octets: bytes, number: int, defects: Defects) -> Attachment:
    content_id = _content_id(part)
    kind = part.disposition.value
    return Attachment(
        name=_safe_name(part, octets, number, defects),
        content_type=part.content_type,
        size=len(octets),
        sha256=hashlib.sha256(octets).hexdigest(),
        content_id=content_id,
        inline=kind == "inline" or (content_id is not None and kind != "attachment"),
        content=octets,
    )


def _content_id(part: Part) -> str | None:
    raw = part.headers.first("content-id")
    return words.decode(raw, set()).strip("<> ") or None if raw else None


def _safe_name(part: Part, octets: bytes, number: int, defects: Defects) -> str:
    given = _name(part)
    name, changed = filename.safe(given)
    if given and changed:
        defects.add(Defect.UNSAFE_FILENAME)
    return name or _made_up_name(part, octets, number)


def _made_up_name(part: Part, octets: bytes, number: int) -> str:
    if part.content_type in _NESTED:
        subject = header.split(octets, 0, len(octets), set()).first("subject")
        title = words.decode(subject or "", set()).replace("/", "_").replace("\\", "_")
        return filename.safe(f"{title}.eml")[0] if title else f"message-{number}.eml"
    usual = _USUAL_NAMES.get(part.content_type)
    return usual or f"part-{number}{_EXTENSIONS.get(part.content_type, '.bin')}"
