"""Errors as rows keep them: code and facts, within bounds (P5)."""

from __future__ import annotations

import json

import pytest

from concord.errors import MailboxDownError, NotSyncedError, QueueDownError, UsageError
from concord.model.fault import LONGEST, Fault, dump, in_english, spelt_out


def test_error_is_kept_as_code_and_facts() -> None:
    assert json.loads(dump(MailboxDownError("cut", host="h", port=993, cause=None))) == {
        "code": "mailbox_down.cut",
        "facts": {"host": "h", "port": 993},
    }


def test_what_is_kept_is_read_again() -> None:
    kept = dump(MailboxDownError("cut", host="h", answer='quoted "words", 反射'))

    assert Fault.parse(kept) == Fault("mailbox_down.cut", {"host": "h", "answer": 'quoted "words", 反射'})


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "The IMAP server hung up (host=h)",
        '{"code": "x", "facts": ',
        '{"code": 1, "facts": {}}',
        '{"code": "' + "[" * 5000,
        "{}",
    ],
)
def test_text_of_an_older_version_is_no_fault_and_stays(text: str | None) -> None:
    assert Fault.parse(text) is None
    assert in_english(text) == text


def test_facts_that_are_no_table_are_none() -> None:
    assert Fault.parse('{"code": "x", "facts": [1]}') == Fault("x")


@pytest.mark.parametrize("answer", ["x" * 100_000, '"\\' * 50_000, "\x00" * 9999, "\ud800" * 9999])
def test_kept_error_fits_its_column_and_stays_json(answer: str) -> None:
    """A server may answer with a page."""
    kept = dump(MailboxDownError("goodbye", host="h", answer=answer, more=[answer] * 3))

    assert len(kept) <= LONGEST
    assert "\x00" not in kept
    kept.encode()
    fault = Fault.parse(kept)
    assert fault is not None
    assert fault.situation == "mailbox_down.goodbye"
    assert fault.facts["host"] == "h"


def test_many_facts_are_left_out_from_the_end() -> None:
    kept = dump(UsageError("value", **{f"fact_{number}": "x" * 60 for number in range(100)}))

    fault = Fault.parse(kept)
    assert len(kept) <= LONGEST
    assert fault is not None
    assert next(iter(fault.facts)) == "fact_0"


def test_foreign_error_is_unexpected_in_its_own_words() -> None:
    assert Fault.of(ValueError("no")) == Fault("unexpected", {"cause": "ValueError: no"})


def test_error_within_an_error_is_kept_whole() -> None:
    kept = dump(NotSyncedError(cause=QueueDownError("no_answer", cause="refused")))

    assert "Redis did not answer (cause=refused)" in (in_english(kept) or "")


def test_details_of_a_step_are_said_in_words_with_their_facts() -> None:
    step = {"error": dump(MailboxDownError("cut", host="h")), "uid": 7, "reason": "as it was"}

    said = spelt_out(step)

    assert said["error"].startswith("The connection to the IMAP server was cut (host=h).")
    assert said["error_facts"] == {"host": "h"}
    assert (said["uid"], said["reason"]) == (7, "as it was")
