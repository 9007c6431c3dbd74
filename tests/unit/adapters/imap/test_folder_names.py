"""Folder names on the wire and for people (P14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.adapters.imap.folder_names import decode, encode, quoted, readable, selectable


@pytest.mark.parametrize(
    ("name", "wire"),
    [("INBOX", b"INBOX"), ("R&D", b"R&-D"), ("Entwürfe", b"Entw&APw-rfe"), ("收件/测试", b"&ZTZO9g-/&bUuL1Q-")],
)
def test_names_are_modified_utf7_on_the_wire(name: str, wire: bytes) -> None:
    """RFC 3501 5.1.3."""
    assert encode(name) == wire
    assert decode(wire) == name


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_any_name_survives_the_wire(name: str) -> None:
    assert decode(encode(name)) == name
    assert encode(name).isascii()


@pytest.mark.parametrize(
    ("wire", "name"), [("Entwürfe".encode(), "Entwürfe"), (b"R&D", "R&D"), (b"a\xffb", "a\ufffdb")]
)
def test_careless_servers_are_understood(wire: bytes, name: str) -> None:
    assert decode(wire) == name


def test_quotation_marks_and_backslashes_are_escaped() -> None:
    assert quoted(b'a "b" \\c') == b'"a \\"b\\" \\\\c"'


@pytest.mark.parametrize("name", [b"INBOX", b'a "b" \\c', b"007", b"with ) bracket"])
def test_a_listed_name_is_read_as_written(name: bytes) -> None:
    assert list(selectable([b'(\\HasNoChildren) "/" ' + quoted(name)])) == [(name, frozenset({"\\hasnochildren"}))]
    assert list(selectable([(b'() "/" {%d}' % len(name), name), b""])) == [(name, frozenset())]


@pytest.mark.parametrize("flag", [b"\\Noselect", b"\\NoSelect", b"\\NonExistent \\HasChildren"])
def test_what_cannot_be_opened_is_left_out(flag: bytes) -> None:
    assert list(selectable([b"(" + flag + b') "/" closed', b'() "/" open', None])) == [(b"open", frozenset())]


def test_an_answer_that_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="LIST"):
        list(selectable([b"what?"]))


@pytest.mark.parametrize("wire", [b"&AAA-", b"&!!!-", b"&AGE", b"&2D0-", b"a&b=c-", b"&A-", b"\x00\x01", b"a\x1b[31mb"])
def test_a_name_that_cannot_be_decoded_is_printable_and_stable(wire: bytes) -> None:
    """P14: such a folder stops nothing."""
    name = decode(wire)

    assert name
    assert name.isprintable()
    assert decode(wire) == name


def test_two_folders_never_share_a_name() -> None:
    r"""`R&D` and `R&-D` both read `R&D`; the careless one is told apart, in whatever order the server lists them."""
    listed = [b"R&-D", b"R&D", b"a\xff", b"a\xfe"]
    names = readable(listed)

    assert len(names) == 4
    assert names["R&D"] == b"R&-D"
    assert readable(reversed(listed)) == names
    assert all(name.isprintable() for name in names)


@pytest.mark.parametrize(
    "line",
    [
        b"what?",
        b'(\\HasNoChildren "/" open',
        b'() "/" ' + b"x" * 5000,
        (b'() "/" {10}', b"a\r\nb LOGOUT"),
        (b'() "/" {1}', b"\0"),
    ],
)
def test_a_folder_that_cannot_be_named_in_a_command_is_left_out(line: object) -> None:
    """The others are polled; a line break in a name would be a command of the server's own."""
    assert list(selectable([line, b'() "/" open'])) == [(b"open", frozenset())]
