"""One mail, read whole or at a glance."""

from __future__ import annotations

from dataclasses import replace

from concord.mime import address, content, date, envelope, header, structure, words
from concord.mime.content import Content
from concord.mime.defect import Defect, Defects
from concord.mime.header import Block
from concord.model.mail import Address, ParsedMail
from concord.model.message import Peek


def read(raw: bytes) -> ParsedMail:
    """Read any octets as a mail. What was wrong with them is in the result's `defects`; nothing is raised."""
    defects: Defects = set()
    raw = _with_newlines(raw, defects)
    root = structure.read(raw, defects)
    return _mail(root.headers, content.gather(raw, root, defects), defects)


def peek(head: bytes) -> Peek:
    """Read the first octets of a mail, cut anywhere, for the few facts that are wanted before it is queued."""
    ignored: Defects = set()
    head = _with_newlines(head, ignored)
    block = header.split(head, 0, len(head), ignored)
    if not block.complete and not head.endswith(b"\n"):
        block = Block(block.fields[:-1], block.body)  # the last header may have been cut in the middle
    senders = address.parse(block.first("from"), ignored) or address.parse(block.first("sender"), ignored)
    subject = block.first("subject")
    return Peek(
        message_id=envelope.message_id(block.first("message-id")),
        subject=words.decode(subject, ignored) if subject is not None else None,
        sender=next((one.address for one in senders if one.address), None),
        recipients=_addresses(address.parse(block.first("to"), ignored)),
        cc=_addresses(address.parse(block.first("cc"), ignored)),
        date=date.parse(block.first("date"), ignored),
        priority=envelope.priority(block),
        headers=envelope.headers(block, ignored),
    )


def _addresses(people: tuple[Address, ...]) -> tuple[str, ...]:
    return tuple(one.address for one in people if one.address)


def _with_newlines(raw: bytes, defects: Defects) -> bytes:
    if not raw:
        defects.add(Defect.EMPTY)
    if b"\r" in raw and b"\n" not in raw:  # an old Macintosh's lines
        defects.add(Defect.BARE_CR)
        return raw.replace(b"\r", b"\n")
    return raw


def _mail(block: Block, found: Content, defects: Defects) -> ParsedMail:
    def people(name: str) -> tuple[Address, ...]:
        return address.parse(block.first(name), defects)

    from_ = people("from")
    if not from_:
        defects.add(Defect.FROM_MISSING)
    mail = ParsedMail(
        message_id=envelope.message_id(block.first("message-id")),
        in_reply_to=envelope.references(block.first("in-reply-to"), defects),
        references=envelope.references(block.first("references"), defects),
        from_=from_,
        sender=people("sender"),
        to=people("to"),
        cc=people("cc"),
        bcc=people("bcc"),
        reply_to=people("reply-to"),
        subject=words.decode(block.first("subject") or "", defects),
        date=date.parse(block.first("date"), defects),
        text=_joined(found.texts),
        html=_joined(found.htmls),
        attachments=tuple(found.attachments),
        headers=envelope.headers(block, defects),
        priority=envelope.priority(block),
        defects=(),
    )
    return replace(mail, defects=tuple(sorted(defect.value for defect in defects)))


def _joined(texts: list[str]) -> str | None:
    """Below each other, an empty line between; None if the mail has no such text at all."""
    if not texts:
        return None
    return texts[0] if len(texts) == 1 else "\n\n".join(text.strip("\n") for text in texts) + "\n"
