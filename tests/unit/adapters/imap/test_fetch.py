"""Reading the answers to FETCH, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from concord.adapters.imap.fetch import BATCH_OCTETS, Fetcher, read_pieces

HEAD = b'1 (UID 5 FLAGS (\\Seen \\Recent custom) INTERNALDATE "01-Nov-2026 10:00:00 +0100" RFC822.SIZE 3 BODY[]<0> {3}'


def test_facts_and_octets_are_read() -> None:
    [piece] = read_pieces([(HEAD, b"abc"), b")"])

    assert (piece.uid, piece.size, piece.body) == (5, 3, b"abc")
    assert piece.internal_date == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert piece.flags == ("\\Seen", "custom")


@pytest.mark.parametrize(
    "answer",
    [
        b"1 (UID 5 BODY[] NIL)",
        b'1 (UID 5 BODY[]<0> "")',
        b"1 (BODY[]<0> NIL UID 5)",
    ],
)
def test_a_mail_without_octets_is_a_mail(answer: bytes) -> None:
    [piece] = read_pieces([answer])

    assert (piece.uid, piece.body, piece.internal_date) == (5, b"", None)


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
def test_a_batch_is_bounded_in_octets(chunk: int, asked: int) -> None:
    """P17: whatever is configured, one answer fits into memory."""
    sets: list[str] = []

    def command(uids: str, _items: str) -> tuple[str, list[object]]:
        sets.append(uids)
        return "OK", [None]

    fetcher = Fetcher(command=command, search=lambda _: [], batch_messages=500, chunk=chunk, max_size=10)
    list(fetcher.run(range(1, 1001)))

    assert sets[0] == (f"1:{asked}" if asked > 1 else "1")
    assert asked * chunk <= max(BATCH_OCTETS, chunk)
