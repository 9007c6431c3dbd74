"""Octets and what somebody called their charset, turned into text whatever the label is worth."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from concord.mime import guess, japanese
from concord.mime.defect import Defect, Defects

# Where the label of a smaller charset is in practice put on text of the larger one, the larger one is used.
# The first codec that reads every octet wins.
_CODECS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("utf-8", "utf8", "utf-8-sig", "unicode-1-1-utf-8", "utf8mb4", "cp65001"), ("utf-8",)),
    **dict.fromkeys(
        ("gb2312", "gb-2312-80", "gb2312-80", "gbk", "x-gbk", "cp936", "ms936", "euc-cn", "gb18030", "chinese"),
        ("gb18030",),
    ),
    **dict.fromkeys(("hz-gb-2312", "hz", "hzgb"), ("hz",)),
    **dict.fromkeys(("big5", "x-x-big5", "cn-big5", "csbig5", "cp950", "big5-eten"), ("cp950", "big5hkscs")),
    **dict.fromkeys(("big5-hkscs", "big5hkscs"), ("big5hkscs", "cp950")),
    **dict.fromkeys(("euc-kr", "ks-c-5601-1987", "ks-c-5601", "ksc5601", "cp949", "uhc", "korean"), ("cp949",)),
    **dict.fromkeys(("shift-jis", "sjis", "x-sjis", "ms-kanji", "windows-31j", "cp932", "shiftjis"), ("cp932",)),
    **dict.fromkeys(("euc-jp", "x-euc-jp", "eucjp"), ("euc_jp", "euc_jis_2004")),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "iso8859-1", "windows-1252", "cp1252"), ("cp1252", "latin-1")),
    **dict.fromkeys(("iso-8859-9", "latin5", "windows-1254"), ("cp1254", "iso8859-9")),
    **dict.fromkeys(("iso-8859-11", "tis-620", "windows-874"), ("cp874", "iso8859-11")),
    **dict.fromkeys(("iso-8859-8-i", "iso-8859-8-e"), ("iso8859-8",)),
    **dict.fromkeys(("utf-7", "unicode-1-1-utf-7", "unicode-2-0-utf-7", "x-unicode-2-0-utf-7"), ("utf-7",)),
    **dict.fromkeys(("koi8", "koi8-ru"), ("koi8-r",)),
}
_UNLABELLED: Final = frozenset({"", "us-ascii", "ascii", "ansi-x3.4-1968", "iso646-us", "7bit", "8bit", "none"})
_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9.:+()-]{0,59}")
# Python's codecs also hold things that are no charset of mail, and some that can be made to work very hard.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
_META: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,60})""", re.IGNORECASE)
_META_REACH: Final = 2048  # browsers look at the first 1,024 octets; mail programs write longer preambles
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def decode(data: bytes, label: str | None, defects: Defects) -> str:
    """Read octets as text, by the label where it holds, by their look where it does not."""
    if data.isascii() and not _shifts(data, label):
        return data.decode("ascii")
    name = normalise(label)
    if name in _UNLABELLED:
        return _unlabelled(data, defects)
    codecs_to_try = _resolve(name)
    if not codecs_to_try:
        defects.add(Defect.CHARSET_UNKNOWN)
        return _unlabelled(data, defects)
    return _by_label(data, codecs_to_try, defects)


def decode_html(data: bytes, label: str | None, defects: Defects) -> str:
    """Read an HTML part: without a usable label, what the document says of itself counts."""
    name = normalise(label)
    if _resolve(name) == ("utf-7",):
        # A browser reads no UTF-7, because markup can hide in it; neither do we.
        defects.add(Defect.CHARSET_UNKNOWN)
        return _unlabelled(data, defects)
    if name in _UNLABELLED or not _resolve(name):
        meta = _META.search(data[:_META_REACH])
        inner = meta[1].decode("ascii") if meta else None
        # A document that calls itself UTF-16 in octets that could be read as ASCII is not UTF-16.
        if inner and _resolve(normalise(inner)) and not normalise(inner).startswith(("utf-16", "utf-32", "utf-7")):
            label = inner
    return decode(data, label, defects)


@lru_cache(maxsize=512)
def normalise(label: str | None) -> str:
    """Write a label the one way the tables know: lower case, dashes, without quotes and language suffix."""
    plain = (label or "").partition("*")[0].strip(" \t\r\n\"'<>;").lower().replace("_", "-")
    return plain.removeprefix("charset=")


@lru_cache(maxsize=512)
def _resolve(name: str) -> tuple[str, ...]:
    if name in _CODECS:
        return _CODECS[name]
    if name.startswith("iso-2022-jp") or name in ("csiso2022jp", "cp50220", "cp50221"):
        return ("iso-2022-jp",)
    if not _LABEL.fullmatch(name) or name in _NO_CHARSETS:
        return ()
    for spelling in (name, name.removeprefix("x-"), name.replace("windows", "cp").replace("-", "")):
        codec = _text_codec(spelling)
        if codec:
            return _CODECS.get(codec, (codec,))
    return ()


def _text_codec(name: str) -> str | None:
    try:
        info = codecs.lookup(name)
    except LookupError:
        return None
    # The attribute is how the standard library itself tells charsets from "base64" and "rot13".
    is_text = getattr(info, "_is_text_encoding", True)
    return info.name if is_text and info.name.replace("_", "-") not in _NO_CHARSETS else None


def _shifts(data: bytes, label: str | None) -> bool:
    """Whether these ASCII octets may mean something else: charsets that shift, or that use two octets a character."""
    name = normalise(label)
    if name in _UNLABELLED:
        return b"\x1b$" in data
    return name.startswith(
        ("iso-2022", "csiso2022", "cp5022", "utf-7", "utf-16", "utf-32", "hz", "ucs", "unicode", "x-u")
    ) or name in ("cp037", "cp500", "cp1026", "cp1140", "cp273", "cp424", "cp875")


def _unlabelled(data: bytes, defects: Defects) -> str:
    text, certain = guess.text(data)
    if not certain:
        defects.add(Defect.CHARSET_GUESSED)
    if "\ufffd" in text:
        defects.add(Defect.UNDECODABLE_BYTES)
    return text


def _by_label(data: bytes, names: tuple[str, ...], defects: Defects) -> str:
    for name in names:
        text = _strictly(data, name)
        if text is not None:
            return text
    return _despite_label(data, names[0], defects)


def _strictly(data: bytes, name: str) -> str | None:
    if name == "iso-2022-jp":
        return japanese.decode(data)
    if name in ("utf-16", "utf-32"):
        return guess.wide(data, name)
    try:
        text = data.decode(name)
    except (UnicodeError, ValueError):
        return None
    return whole(text.removeprefix("\ufeff"))


def _despite_label(data: bytes, name: str, defects: Defects) -> str:
    """The label does not hold throughout: keep it for a few bad octets, drop it for many."""
    codec = "iso2022_jp_ext" if name == "iso-2022-jp" else name
    text = whole(data.decode(codec, "replace"))
    bad = text.count("\ufffd")
    good = len(text) - bad - sum(map(str.isascii, text))
    other, _ = guess.text(data)
    if bad * 4 <= good or "\ufffd" in other:
        defects.add(Defect.UNDECODABLE_BYTES)
        return text
    defects.add(Defect.CHARSET_GUESSED)
    return other


def whole(text: str) -> str:
    """Text without half characters, which no JSON writer or database would take."""
    if not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
