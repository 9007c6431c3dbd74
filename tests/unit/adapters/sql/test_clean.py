"""Whatever mail says can be kept: in text columns and in JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import PurePosixPath
from uuid import UUID

import pytest

from concord.adapters.sql.clean import clean, plain
from concord.model.account import Priority


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("plain", "plain"),
        ("收件箱 😀", "收件箱 😀"),
        ("a\x00b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\ud83d half", "? half"),
        ("\ude00\x00", "?\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_text_is_kept_but_for_what_no_database_takes(said: str, kept: str) -> None:
    assert clean(said) == kept


def test_text_is_cut_by_characters_not_octets() -> None:
    assert clean("密" * 10, 3) == "密密密"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        (float("inf"), "inf"),
        (Priority.HIGH, "high"),
        (("a", {"b"}), ["a", ["b"]]),
        ({1: {"x\x00": "\ud800"}}, {"1": {"x\N{REPLACEMENT CHARACTER}": "?"}}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a"), "/a"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
        (ValueError("no"), "no"),
    ],
)
def test_anything_becomes_plain_json(said: object, kept: object) -> None:
    assert plain(said) == kept
    assert json.loads(json.dumps(plain(said), allow_nan=False)) == kept
