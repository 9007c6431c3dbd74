"""Lines of a log as a person reads them."""

from __future__ import annotations

import json

import pytest

from concord.adapters.log_lines import readable


def test_our_line_becomes_a_sentence_with_its_facts() -> None:
    line = json.dumps(
        {
            "event": "poll.failed",
            "level": "error",
            "timestamp": "2026-11-25T10:04:12.123456Z",
            "logger": "concord.pipeline.poll",
            "account": "info",
            "attempts": 3,
            "cause": "",
            "flags": ["a", "b"],
        }
    )

    assert readable(line) == '10:04:12 error poll.failed  account=info  attempts=3  flags=["a", "b"]'


@pytest.mark.parametrize("line", ["plain words", "  indented", "{not json", '{"json": "but not ours"}', "[1]", ""])
def test_every_other_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == line


def test_traceback_shrinks_to_its_last_line() -> None:
    """Both forms that our log has had: a structure, and text."""
    chain = [{"exc_type": "OSError", "exc_value": "disk full", "frames": []}, {"exc_type": "KeyError"}]

    told = [
        readable(json.dumps({"event": "task.failed", "exception": exception}))
        for exception in (chain, "Traceback:\n  File x\nOSError: disk full\n", [])
    ]

    assert told == ["task.failed  OSError: disk full", "task.failed  OSError: disk full", "task.failed"]
