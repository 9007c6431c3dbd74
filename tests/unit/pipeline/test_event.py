"""The event: CloudEvents 1.0, one id per mail, the same octets every time, valid by the published schema (P7)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from concord.errors import ArchiveDamagedError
from concord.handlers.body import fit
from concord.mime import read
from concord.mime.defect import Defect
from concord.model.account import Priority
from concord.model.message import Message
from concord.pipeline import event
from tests.unit.test_mail_corpus import message

SCHEMA: Final = json.loads((Path(event.__file__).parent / "schema/email-received.v1.json").read_text("utf-8"))
VALID: Final = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
RAW: Final = b"From: ann@example.org\r\nSubject: Hi\r\nDate: Mon, 23 Nov 2026 21:38:29 +0100\r\n\r\nHello\r\n"


def document(row: Message, raw: bytes = RAW) -> dict[str, Any]:
    return event.to_document(event.build(row, read(raw), priority=Priority.NORMAL, attachment_keys={}))


def test_the_schema_and_its_examples_agree() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$id"] == event.SCHEMA
    assert len(SCHEMA["examples"]) >= 2
    for example in SCHEMA["examples"]:
        VALID.validate(example)


def test_the_schema_refuses_what_it_does_not_name() -> None:
    found = document(message(RAW))

    for place in (found, found["data"], found["data"]["thread"], found["data"]["from"][0]):
        place["extra"] = 1
        assert not VALID.is_valid(found)
        del place["extra"]
    assert VALID.is_valid(found)


def test_every_property_is_described() -> None:
    def undescribed(node: Any, path: str) -> list[str]:
        found = []
        for name, child in node.get("properties", {}).items():
            if "description" not in child and "$ref" not in child:
                found.append(f"{path}/{name}")
            found += undescribed(child, f"{path}/{name}")
        return found

    nodes = [SCHEMA, *SCHEMA["$defs"].values()]

    assert [name for node in nodes for name in undescribed(node, "")] == []


def test_the_attributes_cloudevents_requires_are_there() -> None:
    found = document(replace(message(RAW), account="Büro 1/2", folder="Müll"))

    assert found["specversion"] == "1.0"
    assert found["id"] == "00000000-0000-0000-0000-00000000002a"
    assert found["type"] == "concord.email.received"
    assert found["source"] == "/accounts/B%C3%BCro%201%2F2"
    assert found["subject"] == "Müll/1/42"
    assert found["datacontenttype"] == "application/json"
    assert found["dataschema"] == "urn:concord:schema:email-received:v1"
    VALID.validate(found)


def test_time_is_the_servers_then_the_mails_then_ours() -> None:
    row = message(RAW)
    east = timezone(timedelta(hours=8))
    received = datetime(2026, 11, 23, 20, 0, 0, 500_000, tzinfo=east)
    seen = datetime(2026, 11, 24, tzinfo=UTC)

    assert document(replace(row, internal_date=received))["time"] == "2026-11-23T12:00:00.500000Z"
    assert document(replace(row, internal_date=None))["time"] == "2026-11-23T20:38:29Z"
    assert document(replace(row, internal_date=None, seen_at=seen), b"\r\n")["time"] == "2026-11-24T00:00:00Z"


def test_the_same_event_has_the_same_octets() -> None:
    first = event.build(message(RAW), read(RAW), priority=Priority.HIGH, attachment_keys={})
    second = event.build(message(RAW), read(RAW), priority=Priority.HIGH, attachment_keys={})

    assert event.serialise(first) == event.serialise(second)
    assert event.from_document(event.serialise(first)) == event.to_document(second)
    assert event.to_document(first)["data"]["priority"] == "high"


def test_half_a_character_from_a_server_does_not_stop_the_event() -> None:
    built = event.build(replace(message(RAW), folder="a\ud800b"), read(RAW), priority=Priority.LOW, attachment_keys={})

    assert event.from_document(event.serialise(built))["data"]["folder"] == "a?b"


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_document_is_called_damaged(damaged: bytes) -> None:
    with pytest.raises(ArchiveDamagedError):
        event.from_document(damaged)


@pytest.mark.parametrize(("kind", "defect"), [("text", Defect.TEXT_TRUNCATED), ("html", Defect.HTML_TRUNCATED)])
def test_very_long_text_is_cut_between_characters(kind: str, defect: Defect) -> None:
    subtype = b"html" if kind == "html" else b"plain"
    body = "你".encode() * (event.MOST_TEXT // 3 + 10)
    raw = b"Content-Type: text/" + subtype + b"; charset=utf-8\r\n\r\n" + body

    data = document(message(raw), raw)["data"]

    assert len(data[kind].encode()) == event.MOST_TEXT // 3 * 3
    assert set(data[kind]) == {"你"}
    assert defect.value in data["defects"]


def test_text_at_the_limit_stays_whole() -> None:
    raw = b"\r\n" + b"x" * event.MOST_TEXT

    data = document(message(raw), raw)["data"]

    assert len(data["text"]) == event.MOST_TEXT
    assert "text-truncated" not in data["defects"]


def test_a_message_without_its_bytes_is_no_event() -> None:
    with pytest.raises(ValueError, match="bytes"):
        document(replace(message(RAW), sha256=None))


def test_keys_say_whose_and_from_which_month() -> None:
    """In UTC: two servers' time zones make one month."""
    sha256 = hashlib.sha256(b"").hexdigest()
    received = datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=8)))

    assert event.raw_key(7, sha256, received) == f"raw/7/2026/11/{sha256}.eml"
    assert event.part_key(7, sha256, received) == f"parts/7/2026/11/{sha256}"
    assert event.event_key(7, UUID(int=42), sha256, None) == f"events/7/undated/{UUID(int=42)}-{sha256[:16]}.json"


def test_a_preview_is_valid_and_belongs_to_no_account() -> None:
    found = event.preview(RAW)

    VALID.validate(found)
    assert found == event.preview(RAW)
    assert found["id"] != event.preview(RAW + b"x")["id"]
    assert found["source"] == "/files"
    assert found["data"]["raw_key"] == found["data"]["account"] == ""


def test_event_shortened_for_a_receiver_is_still_valid() -> None:
    """A handler's size limit leaves out text, and the event says so."""
    raw = RAW + b"A long text.\r\n" * 100
    octets = event.serialise(event.build(message(raw), read(raw), priority=Priority.NORMAL, attachment_keys={}))

    load = fit(json.loads(octets), octets, len(octets) - 1)

    assert load.event["data"]["truncated"]
    VALID.validate(load.event)
