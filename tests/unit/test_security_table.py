"""deploy/security.md: each requirement of OWASP ASVS 5.0, level 1 and 2, has a row, and each row says what shows it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from concord.services.common_passwords import CONTEXT
from concord.services.identity import MOST_GUESSES_AN_HOUR, SHORTEST

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "deploy/security.md").read_text(encoding="utf-8")
STATES: Final = {"met", "not met", "not applicable"}
SHORTEST_REASON: Final = 15  # characters
_ROW: Final = re.compile(r"^\| (\d+\.\d+\.\d+) \| (.+?) \| ([a-z ]+) \| (.+) \|$", re.MULTILINE)
_TEST: Final = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_SECTION: Final = re.compile(r"^\*([^*]+)\*, ")


@dataclass(frozen=True, slots=True)
class Row:
    """One of the table."""

    id: str
    requirement: str
    state: str
    shown: str


ROWS: Final = [Row(*found.groups()) for found in _ROW.finditer(TEXT)]
MET: Final = [row for row in ROWS if row.state == "met"]
OTHERS: Final = [row for row in ROWS if row.state != "met"]


def required() -> list[str]:
    """The ids of level 1 and 2."""
    lines = (ROOT / "tests/asvs-5.0.0.txt").read_text(encoding="utf-8").splitlines()
    sections = dict(line.split(": ") for line in lines if not line.startswith("#"))
    levels = {
        f"{section}.{number}": level
        for section, text in sections.items()
        for number, level in enumerate(text.split(), 1)
    }
    assert Counter(levels.values()) == {"1": 70, "2": 183, "3": 92}, "as the standard counts them"
    return [found for found, level in levels.items() if level != "3"]


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of a module's tests, without running it."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def sections() -> dict[str, str]:
    """The page's sections by their titles."""
    found = [*re.finditer(r"^## (.+)$", TEXT, re.MULTILINE), None]
    return {one[1]: TEXT[one.end() : after.start() if after else None] for one, after in pairwise(found) if one}


def test_every_requirement_has_one_row_in_the_standards_order() -> None:
    assert [row.id for row in ROWS] == required()


def test_page_counts_its_rows() -> None:
    counted = Counter(row.state for row in ROWS)

    assert set(counted) <= STATES
    assert f"Met: {counted['met']}, not met: {counted['not met']}, not applicable: {counted['not applicable']}." in TEXT


@pytest.mark.parametrize("row", MET, ids=lambda row: row.id)
def test_row_that_is_met_names_tests_that_exist(row: Row) -> None:
    named = _TEST.findall(row.shown)

    assert named
    for file, test in named:
        assert test in names_in(file), f"{file}::{test}"
    assert not _TEST.sub("", _SECTION.sub("", row.shown)).strip(", ")


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.id)
def test_row_that_is_not_met_or_not_applicable_says_why(row: Row) -> None:
    is_same = re.fullmatch(r"as \d+\.\d+\.\d+", row.shown)

    assert is_same or len(row.shown) >= SHORTEST_REASON
    assert row.state == "not applicable" or is_same or "would need" in row.shown or "step " in row.shown


@pytest.mark.parametrize("row", [row for row in MET if _SECTION.match(row.shown)], ids=lambda row: row.id)
def test_section_that_a_row_names_is_there(row: Row) -> None:
    named = _SECTION.match(row.shown)

    assert named
    assert len(sections()[named[1]]) > 300


def test_figures_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(sections()["Signing in"].split())

    assert f"without these words: {', '.join(CONTEXT)}" in text
    assert f"{SHORTEST} to 1,024 characters" in text
    assert f"at most {MOST_GUESSES_AN_HOUR} guesses an hour" in text


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md"])
def test_readers_are_led_to_both_documents(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")

    assert "](SECURITY.md)" in text
    assert "](deploy/security.md)" in text
