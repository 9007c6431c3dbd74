"""Charsets, where the corpus would need a mail for every label."""

from __future__ import annotations

import pytest

from concord.mime import charset
from concord.mime.defect import Defect, Defects


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("GBK", "gbk", "你好"),
        ("x-gbk", "gbk", "你好"),
        ("cp936", "gbk", "你好"),
        ('"gb2312"', "gbk", "镕"),
        ("big5_hkscs", "big5hkscs", "㗎"),
        ("cn-big5", "big5", "你好"),
        ("x-sjis", "cp932", "①"),
        ("windows-949", "cp949", "똠"),
        ("windows-1250", "cp1250", "Łódź"),
        ("windows-1256", "cp1256", "سلام"),
        ("cp-1251", "cp1251", "Привет"),
        ("iso-8859-8-i", "iso8859-8", "שלום"),
        ("tis-620", "cp874", "สวัสดี"),
        ("koi8-u", "koi8-u", "Привіт"),
        ("macintosh", "mac-roman", "é"),
        ("utf-32", "utf-32", "你好"),
        ("iso-2022-kr", "iso2022_kr", "안녕"),
        ("iso-2022-jp-2", "iso2022_jp_2", "日本"),
        ("ibm037", "cp037", "Hello"),
        ("utf-8*en", "utf-8", "é"),
    ],
)
def test_every_spelling_of_a_label_is_understood(label: str, codec: str, text: str) -> None:
    defects: Defects = set()

    assert charset.decode(text.encode(codec), label, defects) == text
    assert not defects


@pytest.mark.parametrize(
    "label", ["rot13", "zlib", "idna", "punycode", "unicode_escape", "undefined", "x" * 100, "a\0b", "é", "../os", "-"]
)
def test_what_is_no_charset_is_called_unknown(label: str) -> None:
    defects: Defects = set()

    assert charset.decode("é".encode(), label, defects) == "é"
    assert defects == {Defect.CHARSET_UNKNOWN}


def test_half_characters_never_come_out() -> None:
    defects: Defects = set()

    assert charset.decode(b"+2AA-x", "utf-7", defects) == "\ufffdx"
    assert charset.decode(b"+2D3eAA-", "utf-7", defects) == "😀"


def test_octets_no_charset_has_are_shown_as_such() -> None:
    defects: Defects = set()

    assert charset.decode(b"a\x81\xff", None, defects) == "a\ufffd\ufffd"
    assert defects == {Defect.CHARSET_GUESSED, Defect.UNDECODABLE_BYTES}


def test_a_label_outranks_what_a_document_says_of_itself() -> None:
    page = '<meta charset="gbk">é'.encode()

    assert charset.decode_html(page, "utf-8", set()) == '<meta charset="gbk">é'
