"""The corpus: every `tests/mails/<case>.eml` becomes the data in `<case>.json` (P6, P7). A new case is two files."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from concord.mime import read
from concord.model.account import Priority
from concord.model.message import AfterState, Message, MessageState
from concord.pipeline import event

MAILS: Final = Path(__file__).parents[1] / "mails"
CASES: Final = sorted(path.stem for path in MAILS.glob("*.eml"))
SCHEMA: Final = Path(event.__file__).parent / "schema" / "email-received.v1.json"
NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


def message(raw: bytes) -> Message:
    """The ledger row of a corpus mail: everything fixed but what its bytes say."""
    sha256 = hashlib.sha256(raw).hexdigest()
    return Message(
        id=1,
        account_id=7,
        account="corpus",
        folder="INBOX",
        uidvalidity=1,
        uid=42,
        event_id=UUID(int=42),
        state=MessageState.PROCESSING,
        priority=Priority.NORMAL,
        sha256=sha256,
        size=len(raw),
        archive_key=event.raw_key(7, sha256, NOON),
        internal_date=NOON,
        flags=("\\Recent",),
        message_id=None,
        subject=None,
        sender=None,
        sent_at=None,
        attempts=1,
        failures=0,
        error_code=None,
        error=None,
        due_at=None,
        leased_until=None,
        after=AfterState.NONE,
        seen_at=NOON,
        processed_at=None,
    )


def document(raw: bytes) -> dict[str, Any]:
    """The whole way from bytes to the stored document and back."""
    mail = read(raw)
    keys = {one.sha256: event.part_key(7, one.sha256, NOON) for one in mail.attachments}
    built = event.build(message(raw), mail, priority=mail.priority or Priority.NORMAL, attachment_keys=keys)
    return event.from_document(event.serialise(built))


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(
        json.loads(SCHEMA.read_text("utf-8")), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


@pytest.mark.parametrize("case", CASES)
def test_each_mail_becomes_the_event_beside_it(case: str, schema: Draft202012Validator) -> None:
    expected = json.loads((MAILS / f"{case}.json").read_text("utf-8"))

    found = document((MAILS / f"{case}.eml").read_bytes())

    schema.validate(found)
    assert found["data"] == expected


def test_every_file_of_the_corpus_has_its_twin() -> None:
    answers = sorted(path.stem for path in MAILS.glob("*.json"))

    assert len(CASES) >= 60
    assert answers == CASES


def test_the_corpus_is_kept_to_the_octet_by_git() -> None:
    attributes = (MAILS.parents[1] / ".gitattributes").read_text("utf-8").splitlines()

    assert "tests/mails/*.eml -text" in attributes
