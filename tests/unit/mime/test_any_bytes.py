"""Any bytes become a mail and a valid event; nothing raises, nothing takes more than its share of time (P6, P7)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from concord.mime import limits, peek, read
from concord.pipeline import event
from tests.fuzzing import search

ROOT: Final = Path(__file__).parents[3]
MAILS: Final = [path.read_bytes() for path in sorted((ROOT / "tests/mails").glob("*.eml"))]
SCHEMA: Final = Draft202012Validator(
    json.loads((ROOT / "concord/pipeline/schema/email-received.v1.json").read_text("utf-8"))
)
MANY: Final = search(300)

# What mails are made of, so that chance puts together more than noise.
FRAGMENTS: Final = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">", b"@", b'"', b"(", b")", b"\\", b"=?",
        b"?=",
        b"=?utf-8?B?", b"=?gb2312?Q?", b"=?utf-7?Q?", b"=?utf-16?B?", b"From: ", b"To: ",
        b"Subject: ", b"Date: ",
        b"References: <", b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/html; charset=",
        b"Content-Type: message/rfc822\r\n", b"Content-Disposition: attachment; filename*0*=", b"filename*1=", b"''",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"begin 644 x\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n", b"\r\n\r\n", b"--b\r\n", b"--b--\r\n", b"=ED=A0=80",
        b"+2AA-", b"\x1b$B", b"\x1b(B", b"\x1b(I",
        b"\xff\xfe", b"\xe4\xbd\xa0", b"\xc4\xe3\xba\xc3", b"hz-gb-2312\r\n", b"~{",
        b"utf-7\r\n", b"utf-16\r\n", b"idna\r\n", b"<meta charset=", b"Mon, 31 Feb 99999 25:61:61 +9999",
        b"\xe2\x80\xae",
    ]
)  # fmt: skip # one list to look over, not a column of sixty lines
BUILT: Final = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=12)), max_size=60).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A mail of the corpus with pieces cut out, doubled, or replaced."""
    raw = draw(st.sampled_from(MAILS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + 40)))
        raw = raw[:start] + draw(st.one_of(FRAGMENTS, st.binary(max_size=8), st.just(raw[start:end] * 2))) + raw[end:]
    return raw


# As JSON writes it; a mail may well say a backslash and u0000, whose backslash is doubled there.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def test_a_nul_is_told_from_its_name() -> None:
    assert NUL.search(json.dumps("a\0"))
    assert NUL.search(json.dumps("\\\0"))
    assert not NUL.search(json.dumps(r"\u0000"))
    judge(rb"\u0000")


def judge(raw: bytes) -> None:
    """What must hold for every input."""
    document = event.preview(raw)
    SCHEMA.validate(document)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")  # no half characters
    assert not NUL.search(text)
    assert all(name and "/" not in name and "\\" not in name for name in _names(raw))
    peek(raw)


def _names(raw: bytes) -> list[str]:
    return [one.name for one in read(raw).attachments]


@MANY
@given(st.binary(max_size=2_000))
def test_arbitrary_bytes_become_a_valid_event(raw: bytes) -> None:
    judge(raw)


@MANY
@given(BUILT)
def test_pieces_of_mail_in_any_order_become_a_valid_event(raw: bytes) -> None:
    judge(raw)


@MANY
@given(mutated())
def test_damaged_mails_become_a_valid_event(raw: bytes) -> None:
    judge(raw)


@MANY
@given(st.sampled_from(MAILS), st.integers(0, 2_000))
def test_a_mail_cut_anywhere_can_be_peeked_and_read(raw: bytes, length: int) -> None:
    judge(raw[:length])


def _nested(depth: int) -> bytes:
    return b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (level, level) for level in range(depth)
    )


def _nested_messages(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\n\n" * depth


def _parts(count: int) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * count + b"--b--\n"


def _half(head: bytes, piece: bytes) -> Callable[[int], bytes]:
    return lambda count: head + piece * count + b"\n\nbody\n"


HARD: Final[dict[str, tuple[Callable[[int], bytes], int]]] = {
    "one-long-header": (_half(b"Subject: ", b"x"), 2_000_000),
    "one-long-folded-header": (_half(b"Subject: ", b"x\n "), 500_000),
    "one-long-line-of-spaces": (_half(b"Subject: ", b" "), 2_000_000),
    "header-of-opened-words": (_half(b"Subject: ", b"=?a?q?"), 100_000),
    "header-of-words": (_half(b"Subject: ", b"=?utf-8?q?=C3=A4?= "), 100_000),
    "word-markers": (_half(b"Subject: ", b"=?"), 500_000),
    "words-in-every-header": (_half(b"", b"X: =?gbk?b?xOO6ww==?=\n"), 100_000),
    "headers": (_half(b"", b"X: y\n"), 400_000),
    "lines-that-are-no-headers": (_half(b"X: y\n", b"no header\nX: y\n"), 100_000),
    "addresses": (_half(b"To: ", b"a@b,"), 200_000),
    "angles": (_half(b"To: ", b"<"), 500_000),
    "quotes": (_half(b"To: ", b'"'), 500_000),
    "escaped-quotes": (_half(b"To: ", b'\\"'), 500_000),
    "parentheses": (_half(b"To: ", b"("), 500_000),
    "escaped-parentheses": (_half(b"To: ", b"\\("), 500_000),
    "names-without-addresses": (_half(b"To: ", b"a,"), 500_000),
    "colons": (_half(b"To: ", b"a:"), 500_000),
    "references": (_half(b"References: ", b"<a@b> "), 200_000),
    "open-references": (_half(b"References: ", b"<a@b "), 200_000),
    "parameters": (_half(b"Content-Type: text/plain; ", b"a=b;"), 200_000),
    "sections": (_half(b"Content-Type: text/plain; ", b"name*9*='';"), 200_000),
    "parameter-quotes": (_half(b"Content-Type: text/plain; a=", b'\\"'), 200_000),
    "parameter-comments": (_half(b"Content-Type: text/plain; ", b"("), 200_000),
    "date-comments": (_half(b"Date: ", b"("), 200_000),
    "nested-multiparts": (_nested, 10_000),
    "nested-messages": (_nested_messages, 100_000),
    "parts": (_parts, 100_000),
    "delimiter-prefixes": (lambda n: b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b \t" * n, 200_000),
    "base64-paddings": (lambda n: b"Content-Transfer-Encoding: base64\n\n" + b"QQ==" * n, 200_000),
    "broken-quoted-printable": (lambda n: b"Content-Transfer-Encoding: quoted-printable\n\n" + b"= \t" * n, 200_000),
    "uu-begins": (lambda n: b"Content-Transfer-Encoding: uuencode\n\n" + b"begin 644 " * n, 200_000),
    "meta-tags": (lambda n: b"Content-Type: text/html\n\n\xff" + b"<meta " * n, 200_000),
    "escapes": (lambda n: b"X: y\n\n" + b"\x1b$B" * n, 200_000),
    "high-octets": (lambda n: b"X: y\n\n" + b"\xc4\xe3 " * n, 200_000),
    "empty-lines": (lambda n: b"X: y\n" + b"\r\n" * n, 500_000),
    "carriage-returns": (lambda n: b"X: y\n\n" + b"\r" * n, 500_000),
}


def _seconds(raw: bytes) -> float:
    fastest = float("inf")
    for _ in range(2):
        begun = time.process_time()
        event.preview(raw)
        fastest = min(fastest, time.process_time() - begun)
    return fastest


@pytest.mark.parametrize("name", HARD)
def test_time_grows_no_faster_than_the_mail(name: str) -> None:
    make, count = HARD[name]
    small, large = make(count // 8), make(count)

    ratio = _seconds(large) / max(_seconds(small), 0.002)

    # Eight times the mail: about 8 if time is linear, 64 if it grows with the square.
    assert ratio < 24


def test_a_million_parts_are_read_up_to_the_limit() -> None:
    mail = read(_parts(1_000_000))

    assert "too-many-parts" in mail.defects
    assert len(mail.attachments) <= limits.PARTS
    assert mail.text is not None


def test_ten_thousand_levels_are_read_up_to_the_limit() -> None:
    mail = read(_nested(10_000))

    assert "too-deep" in mail.defects
    assert [one.content_type for one in mail.attachments] == ["application/octet-stream"]


def test_headers_and_addresses_are_kept_up_to_the_limit() -> None:
    mail = read(b"X: y\n" * 5_000 + b"\nbody\n")
    crowd = read(b"To: " + b"a@b," * 20_000 + b"\n\nbody\n")

    assert len(mail.headers) == limits.HEADERS
    assert "too-many-headers" in mail.defects
    assert mail.text == "body\n"
    assert len(crowd.to) == limits.ADDRESSES
    assert "too-many-addresses" in crowd.defects
