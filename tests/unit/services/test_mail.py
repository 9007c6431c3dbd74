"""Reading a mail as people do: the whole of it, from what the archive has, written down each time (U3, U5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.errors import ArchiveMissingError, NotFoundError
from concord.model.account import Account, StartKind, StartPoint
from concord.model.caller import Caller
from concord.model.message import Message
from concord.ports import MessageFilter
from concord.services import mail as service
from tests.factories import mail
from tests.fakes.command import MemoryConcord
from tests.polling import poll_whole

BY = Caller(actor="olga", via="admin", address="127.0.0.1")


@pytest.fixture
def parts() -> Iterator[MemoryConcord]:
    made = MemoryConcord()
    made.mailboxes.add_user("alice")
    start = StartPoint(kind=StartKind.ALL)
    made.accounts.add(
        Account(name="sales", host="mail.example.com", user="alice", secret=made.vault.seal("sesame"), start=start)
    )
    yield made
    made.engine.dispose()


def arrived(parts: MemoryConcord, raw: bytes, *, processed: bool) -> Message:
    """A mail in the archive, or an event already."""
    parts.mailboxes.deliver("alice", raw)
    poll_whole(parts, 1)
    if processed:
        parts.processor.process([ref.id for ref in parts.memory_queue.messages])
    return parts.ledger.search(MessageFilter(limit=1))[0]


def written(parts: MemoryConcord) -> list[tuple[str, str, str, str]]:
    return [(one.action, one.subject, one.outcome, one.detail) for one in parts.audit.entries()]


@pytest.mark.parametrize("processed", [True, False], ids=["processed", "not yet processed"])
def test_a_mail_is_read_whole_whether_it_became_an_event_or_not(parts: MemoryConcord, processed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    raw = mail("报价", body="Guten Tag\n", attachment=b"\x00\x01", Cc="Carl <carl@example.net>")
    message = arrived(parts, raw, processed=processed)

    shown = service.open_mail(parts, message, by=BY)

    assert (shown.subject, shown.text, shown.html) == ("报价", "Guten Tag\n", None)
    assert [(one.name, one.address) for one in shown.cc] == [("Carl", "carl@example.net")]
    assert [(part.number, part.name, part.size) for part in shown.parts] == [(0, "data.bin", 2)]
    assert ("Cc", "Carl <carl@example.net>") in shown.headers
    assert shown.date is not None
    assert b"".join(service.content_of(parts, shown.message, shown.parts[0])) == b"\x00\x01"
    assert written(parts)[0] == ("message.read", f"message {message.id}", "done", "")


@pytest.mark.parametrize("processed", [True, False], ids=["processed", "not yet processed"])
def test_an_attachment_is_asked_for_by_its_number(parts: MemoryConcord, processed: bool) -> None:  # noqa: FBT001 - as above
    message = arrived(parts, mail(attachment=b"octets"), processed=processed)

    part, pieces = service.open_part(parts, message, 0, by=BY)

    assert (part.name, b"".join(pieces)) == ("data.bin", b"octets")
    assert written(parts)[0] == ("attachment.read", f"message {message.id}", "done", "data.bin")


@pytest.mark.parametrize("number", [-1, 1, 10**9])
def test_a_number_of_no_attachment_is_refused(parts: MemoryConcord, number: int) -> None:
    message = arrived(parts, mail(attachment=b"octets"), processed=True)

    with pytest.raises(NotFoundError, match="no such attachment"):
        service.open_part(parts, message, number, by=BY)

    assert written(parts)[0][2] == "refused"


def test_the_raw_mail_is_what_the_server_gave(parts: MemoryConcord) -> None:
    raw = mail("As it came")
    message = arrived(parts, raw, processed=True)

    assert b"".join(service.open_raw(parts, message, by=BY)) == raw
    assert written(parts)[0] == ("message.read", f"message {message.id}", "done", "as it came")


def test_a_mail_without_bytes_says_so(parts: MemoryConcord) -> None:
    message = arrived(parts, mail(), processed=False)
    assert message.archive_key is not None
    parts.archive.delete(message.archive_key)

    for ask in (service.open_mail, service.open_raw):
        with pytest.raises(ArchiveMissingError):
            ask(parts, message, by=BY)

    assert [one[2] for one in written(parts)[:2]] == ["failed", "failed"]


def test_a_huge_mail_is_handed_out_but_not_shown(parts: MemoryConcord, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = mail("Much", body="x" * 60 + "\n")
    message = arrived(parts, raw, processed=False)
    monkeypatch.setattr(service, "MOST_READ", 100)

    with pytest.raises(service.MailTooBigError):
        service.open_mail(parts, message, by=BY)

    assert b"".join(service.open_raw(parts, message, by=BY)) == raw


def test_the_events_document_is_written_down_as_read(parts: MemoryConcord) -> None:
    message = arrived(parts, mail("An event"), processed=True)

    document = service.open_event(parts, parts.outbox.event(message.event_id), by=BY)

    assert document["data"]["subject"] == "An event"
    assert written(parts)[0][:3] == ("event.read", str(message.event_id), "done")


def test_looking_at_parts_of_an_open_mail_is_no_reading_of_its_own(parts: MemoryConcord) -> None:
    message = arrived(parts, mail(), processed=True)
    before = written(parts)

    service.look_at(parts, message)

    assert written(parts) == before
