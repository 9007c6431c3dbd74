"""Reading the answers to FETCH, without a server."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from concord.adapters.imap.fetch import Answered, Command, Fetcher, read_pieces
from concord.adapters.imap.pace import BATCH_OCTETS, LEAST_OCTETS, Pace
from concord.adapters.imap.spool import Spool
from concord.errors import MailboxDownError
from concord.model.message import FetchedMail
from concord.ports import Unreadable

HEAD = b'1 (UID 5 FLAGS (\\Seen \\Recent custom) INTERNALDATE "01-Nov-2026 10:00:00 +0100" RFC822.SIZE 3 BODY[]<0> {3}'


def fetcher(command: Command, place: Path, *, batch_messages: int = 5, chunk: int = 4096) -> Fetcher:
    """Every UID that is asked for is listed."""
    return Fetcher(
        command=command,
        search=lambda criteria: [int(word) for word in criteria.removeprefix("UID ").split(",") if word.isdigit()],
        spool=Spool(place, most=1024 * 1024),
        spool_key=str,
        pace=Pace(50),
        batch_messages=batch_messages,
        chunk=chunk,
        max_size=100_000,
    )


def test_facts_and_octets_are_read() -> None:
    [piece] = read_pieces([(HEAD, b"abc"), b")"])

    assert (piece.uid, piece.size, piece.body) == (5, 3, b"abc")
    assert piece.internal_date == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert piece.flags == ("\\Seen", "custom")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"1 (UID 5 BODY[] NIL)", None),
        (b'1 (UID 5 BODY[]<0> "")', b""),
        (b"1 (BODY[]<0> NIL UID 5)", None),
    ],
)
def test_no_octets_and_none_to_be_had_are_told_apart(answer: bytes, body: bytes | None) -> None:
    """P4: NIL is not an empty mail."""
    [piece] = read_pieces([answer])

    assert (piece.uid, piece.body, piece.internal_date) == (5, body, None)


def test_a_short_mail_in_quotation_marks_keeps_its_octets() -> None:
    [piece] = read_pieces([b'1 (UID 5 BODY[]<0> "12 \\"3\\"")'])

    assert piece.body == b'12 "3"'


@pytest.mark.parametrize(
    "answer", [b"1 (FLAGS (\\Seen))", b"1 (UID 5 FLAGS ())", b"1 (((", b"x", b"1 (UID BODY[]<0> NIL)"]
)
def test_what_carries_no_mail_is_passed_over(answer: bytes) -> None:
    assert list(read_pieces([answer, (HEAD, b"abc"), b")", None])) == list(read_pieces([(HEAD, b"abc"), b")"]))


def test_shifting_sequence_numbers_mix_no_mails() -> None:
    """An EXPUNGE during UID FETCH lets two mails bear the same number (RFC 9051 7.5.1)."""
    first, second = (b"2 (UID 5 BODY[]<0> {3}", b"abc"), (b"2 (UID 6 BODY[]<0> {3}", b"xyz")

    assert [(piece.uid, piece.body) for piece in read_pieces([first, b")", second, b")"])] == [(5, b"abc"), (6, b"xyz")]


@pytest.mark.parametrize(("offset", "found"), [(0, 0), (4096, 1)])
def test_a_chunk_of_another_place_is_not_taken(offset: int, found: int) -> None:
    assert len(list(read_pieces([(b"1 (UID 5 BODY[]<4096> {3}", b"abc"), b")"], offset))) == found


@pytest.mark.parametrize(("chunk", "asked"), [(4096, 500), (1024 * 1024, 8), (16 * 1024 * 1024, 1)])
def test_a_batch_is_bounded_in_octets(tmp_path: Path, chunk: int, asked: int) -> None:
    """P17: whatever is configured, one answer fits into memory."""
    sets: list[str] = []

    def command(uids: str, _items: str, _octets: int) -> Answered:
        sets.append(uids)
        return Answered(kind="OK", data=[None])

    list(fetcher(command, tmp_path, batch_messages=500, chunk=chunk).run(range(1, 1001)))

    assert sets[0] == (f"1:{asked}" if asked > 1 else "1")
    assert asked * chunk <= max(BATCH_OCTETS, chunk)


def dated(when: bytes, size: bytes = b"3", uid: bytes = b"5") -> list[object]:
    head = b"1 (UID %s FLAGS () INTERNALDATE %s RFC822.SIZE %s BODY[]<0> {3}" % (uid, when, size)
    return [(head, b"abc"), b")"]


@pytest.mark.parametrize(
    "when",
    [
        b'"01-Nov-9999 10:00:00 +0000"',
        b'"31-Dec-9999 23:59:59 -1200"',
        b'"01-Jan-1900 00:00:00 +1400"',
        b'"01-Nov-2026 10:00:00 +9999"',
        b'"01-Nov-2026 10:00:00 -9999"',
        b'"01-Nov-2026 99:99:99 +0000"',
        b'"32-Foo-2026 10:00:00 +0000"',
        b'"01-Nov-99999999999999999999 10:00:00 +0000"',
        b'"the other day"',
        b'"01-Nov-2026 10:00:00"',
        b'""',
        b"NIL",
        b"5",
        b"(1 2)",
        b"9223372036854775808",
    ],
)
def test_a_date_outside_the_calendar_is_no_date(when: bytes) -> None:
    """P16: the mail is whole all the same."""
    [piece] = read_pieces(dated(when))

    assert (piece.uid, piece.internal_date, piece.body) == (5, None, b"abc")


def test_a_date_without_a_zone_is_utc() -> None:
    [piece] = read_pieces(dated(b'"01-Nov-2026 10:00:00 -0000"'))

    assert piece.internal_date == datetime(2026, 11, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "size",
    [b"9223372036854775808", b"-1", b"NIL", b"huge", b'"3"', b"(3)", b"007", b"9" * 5000],
)
def test_a_size_that_is_no_number_is_no_size(size: bytes) -> None:
    assert [(piece.size, piece.body) for piece in read_pieces(dated(b"NIL", size))] in ([(None, b"abc")], [])


@pytest.mark.parametrize("uid", [b"0", b"-5", b"4294967296", b"9223372036854775808", b'"5x"', b"(5)", b"NIL"])
def test_a_uid_that_no_mail_can_have_is_passed_over(uid: bytes) -> None:
    """RFC 9051 section 9: 1 to 4,294,967,295."""
    assert list(read_pieces(dated(b"NIL", uid=uid))) == []


@pytest.mark.parametrize("flags", [b"NIL", b"5", b'"\\Seen"', b"((\\Seen))", b"(\x00 \x1b)"])
def test_odd_flags_spoil_no_mail(flags: bytes) -> None:
    [piece] = read_pieces([(b"1 (UID 5 FLAGS %s BODY[]<0> {3}" % flags, b"abc"), b")"])

    assert piece.flags == ()


def test_flags_without_end_are_bounded() -> None:
    many = b" ".join(b"flag%d" % number for number in range(100_000))
    [piece] = read_pieces([(b"1 (UID 5 FLAGS (%s) BODY[]<0> {3}" % many, b"abc"), b")"])

    assert len(piece.flags) <= 1000


@pytest.mark.parametrize("answer", [b"1 " + b"(" * 200_000, b"1 (UID 5 X " + b"(" * 5000 + b")" * 5000 + b")"])
def test_an_answer_nested_without_end_is_passed_over(answer: bytes) -> None:
    assert list(read_pieces([answer])) == []


def test_two_mails_of_one_uid_are_none(tmp_path: Path) -> None:
    """P4: which of them it is, nobody knows."""
    first, second = (b"2 (UID 5 BODY[]<0> {3}", b"abc"), (b"3 (UID 5 BODY[]<0> {3}", b"xyz")

    def command(_uids: str, _items: str, _octets: int) -> Answered:
        return Answered(kind="OK", data=[first, b")", second, b")"])

    [item] = fetcher(command, tmp_path).run([5])

    assert isinstance(item, Unreadable)


def test_a_chunk_without_its_place_is_not_the_next_one() -> None:
    """A server that ignores the partial would double what it has sent already."""
    assert list(read_pieces([(b"1 (UID 5 BODY[] {3}", b"abc"), b")"], 4096)) == []


@pytest.mark.parametrize("size", [3 * LEAST_OCTETS, 3 * LEAST_OCTETS + 100])
def test_a_slow_line_does_not_end_a_mail_where_its_part_ended(tmp_path: Path, size: int) -> None:
    """P4: on a line that is slow enough, a part's overlap is all that is asked for: that it comes again is no end."""
    raw = bytes(number % 251 for number in range(size))
    is_cut = True

    def command(uids: str, items: str, octets: int) -> Answered:
        nonlocal is_cut
        offset, most = (int(word) for word in items.partition("<")[2].partition(">")[0].split("."))
        if is_cut and offset == 2 * LEAST_OCTETS:
            is_cut = False
            return Answered(kind="", data=[], trouble=MailboxDownError("The IMAP server hung up"))
        piece = raw[offset : offset + most]
        head = b"1 (UID 1 RFC822.SIZE %d BODY[]<%d> {%d}" % (len(raw), offset, len(piece))
        return Answered(kind="OK", data=[(head, piece), b")"])

    slow = fetcher(command, tmp_path, chunk=LEAST_OCTETS)
    with pytest.raises(MailboxDownError):
        list(slow.run([1]))

    [found] = slow.run([1])

    assert isinstance(found, FetchedMail)
    assert (found.size, found.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
