"""What charset octets without a usable label are in: UTF-8 if they can be, else the likeliest by their pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from concord.mime import japanese

_SAMPLE: Final = 65_536  # the pattern shows long before; more would only cost time
_HIGH_RUN: Final = re.compile(rb"[\x80-\xff]+")
_KANA: Final = re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]")
_BIG5_PAIR: Final = re.compile(rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]|\xa1[\x40-\x7e\xa1-\xfe]")
_PAIR: Final = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
_MOST: Final = 0.8
_NEARLY_ALL: Final = 0.95
_FEW: Final = 12  # octets; a Chinese word or two may well lie in the Korean rows by chance


def text(data: bytes) -> tuple[str, bool]:
    """The text, and whether that reading is certain: strict UTF-8, or a byte order mark, leave no doubt."""
    marked = _marked(data)
    if marked is not None:
        return marked, True
    if b"\x1b$" in data and (shifted := japanese.decode(data)) is not None:
        return shifted, False
    try:
        return data.decode("utf-8").removeprefix("\ufeff"), True
    except UnicodeError:
        return _by_pattern(data), False


def wide(data: bytes, name: str) -> str | None:
    """UTF-16 or UTF-32 by its mark, else by where its zero octets lie; None if it is neither."""
    marked = _marked(data)
    if marked is not None:
        return marked
    if b"\0" not in data and data.isascii():
        return None
    little = data[1::2].count(0) >= data[0::2].count(0)
    try:
        return data.decode(f"{name}-{'le' if little else 'be'}")
    except UnicodeError:
        return None


def _marked(data: bytes) -> str | None:
    for mark, codec in (
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            try:
                return data.decode(codec)
            except UnicodeError:
                return None
    return None


def _by_pattern(data: bytes) -> str:
    sample = data if len(data) <= _SAMPLE else data[: data.rfind(b"\n", 0, _SAMPLE) + 1 or _SAMPLE]
    for codec, looks in _CANDIDATES:
        if not looks(sample):
            continue
        try:
            return data.decode(codec)
        except UnicodeError:
            continue
    return _last_resort(data)


def _last_resort(data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeError:
        return data.decode("utf-8", "replace")


def _runs(sample: bytes) -> list[bytes]:
    return _HIGH_RUN.findall(sample)


def _pairs_with(sample: bytes, low: int, high: int) -> float:
    """The share of two-octet characters whose lead lies in a range, 0 unless the high octets come in pairs."""
    runs = _runs(sample)
    even = [run for run in runs if len(run) % 2 == 0]
    if len(even) < _NEARLY_ALL * len(runs):
        return 0.0
    leads = [lead for run in even for lead in run[::2]]
    return sum(low <= lead <= high for lead in leads) / max(len(leads), 1)


def _looks_korean(sample: bytes) -> bool:
    # Hangul fills rows B0 to C8 and nothing else; half of all Chinese text lies above.
    return _pairs_with(sample, 0xB0, 0xC8) > _NEARLY_ALL and sum(map(len, _runs(sample))) >= _FEW


def _looks_chinese(sample: bytes) -> bool:
    # Rows B0 to D7 hold the 3,755 common characters, A1 and A3 the punctuation.
    return _pairs_with(sample, 0xB0, 0xD7) + _pairs_with(sample, 0xA1, 0xA3) > _MOST


def _looks_japanese(sample: bytes) -> bool:
    return len(_KANA.findall(sample)) >= max(2, len(_PAIR.findall(sample)) // 4)


def _looks_big5(sample: bytes) -> bool:
    pairs = len(_PAIR.findall(sample))
    return pairs > 1 and len(_BIG5_PAIR.findall(sample)) > _NEARLY_ALL * pairs


def _looks_koi8(sample: bytes) -> bool:
    return _dense(sample) and _share(sample, 0xC0, 0xDF) > _MOST


def _looks_cyrillic(sample: bytes) -> bool:
    return _dense(sample) and _share(sample, 0xE0, 0xFF) > _MOST


def _dense(sample: bytes) -> bool:
    """Whether whole words are written in high octets, not single letters among ASCII ones."""
    runs = _runs(sample)
    return sum(map(len, runs)) >= max(2.5 * len(runs), 4)


def _share(sample: bytes, low: int, high: int) -> float:
    octets = b"".join(_runs(sample))
    return sum(low <= octet <= high for octet in octets) / max(len(octets), 1)


_CANDIDATES: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("cp932", _looks_japanese),
    ("cp949", _looks_korean),
    ("gb18030", _looks_chinese),
    ("koi8-r", _looks_koi8),
    ("cp1251", _looks_cyrillic),
    ("cp950", _looks_big5),
)
