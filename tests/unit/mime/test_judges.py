"""Two other readers as judges: on sound mails the three agree to the octet, but for the cases named here (P6).

Why neither is the reader itself. The standard library's parser changes nested mails when it writes them out again,
recurses once per level, and takes longer to take a mail apart than ours needs to understand it. fast-mail-parser is
some ten times faster, but loses a part of a legal mail (the first case below), refuses damaged base64, and tells
neither the order of headers nor their octets.
"""

from __future__ import annotations

import email
from pathlib import Path
from typing import Final

import fast_mail_parser
import pytest

from concord.mime import read, structure, transfer
from concord.mime.defect import Defect

MAILS: Final = Path(__file__).parents[2] / "mails"
SOUND: Final = [path.stem for path in sorted(MAILS.glob("*.eml")) if not read(path.read_bytes()).defects]
Leaf = tuple[str, bytes | None]

FAST_DIFFERS: Final = {
    "boundary-is-prefix-of-another",  # ends the outer part at the inner boundary, which only begins with its own
    "uuencode",  # left encoded
}
LIBRARY_DIFFERS: Final = {
    "space-before-colon",  # keeps the space in the header's name
}


def ours(raw: bytes) -> list[Leaf]:
    defects: set[Defect] = set()
    leaves: list[Leaf] = []
    waiting = [structure.read(raw, defects)]
    while waiting:
        part = waiting.pop()
        waiting.extend(reversed(part.children))
        if not part.is_multipart:
            encoding = part.headers.first("content-transfer-encoding") or ""
            octets = transfer.decode(raw[part.start : part.end], encoding, defects)
            # The judges take nested mails apart; that ours are kept to the octet is shown by the corpus.
            leaves.append((part.content_type, None if part.content_type.startswith("message/") else octets))
    return leaves


def library(raw: bytes) -> list[Leaf]:
    leaves: list[Leaf] = []
    waiting = [email.message_from_bytes(raw)]
    while waiting:
        part = waiting.pop()
        content = part.get_payload()
        if part.get_content_maintype() == "message":
            leaves.append((part.get_content_type(), None))
        elif isinstance(content, list):
            waiting.extend(child for child in reversed(content) if isinstance(child, email.message.Message))
        else:
            octets = part.get_payload(decode=True)
            assert isinstance(octets, bytes)
            leaves.append((part.get_content_type(), octets))
    return leaves


def fast(raw: bytes) -> list[Leaf]:
    leaves: list[Leaf] = []
    waiting = [fast_mail_parser.parse_email_tree(raw)]
    while waiting:
        part = waiting.pop()
        if part.is_message or part.content_type.startswith("message/"):
            leaves.append((part.content_type, None))
        elif part.content is None:
            waiting.extend(reversed(part.children))
        else:
            leaves.append((part.content_type, part.content))
    return leaves


@pytest.mark.parametrize("case", SOUND)
def test_the_standard_library_finds_the_same_parts(case: str) -> None:
    raw = (MAILS / f"{case}.eml").read_bytes()

    assert (ours(raw) == library(raw)) is (case not in LIBRARY_DIFFERS)


@pytest.mark.parametrize("case", SOUND)
def test_the_fast_parser_finds_the_same_parts(case: str) -> None:
    raw = (MAILS / f"{case}.eml").read_bytes()

    assert (ours(raw) == fast(raw)) is (case not in FAST_DIFFERS)
