"""Patterns that would cost a process its memory or its life are refused before they are compiled."""

from __future__ import annotations

import pytest

from concord.errors import UsageError
from concord.pipeline.pattern import LONGEST, Matcher, compiled
from concord.wording import english


@pytest.mark.parametrize(
    "expression",
    [
        "a{100000000}",
        "a{100000000,}",
        "(?:ab){900000}",
        "((a{1000}){1000}){1000}",
        "(b{1000}[(]){1000}",
        "(?x)a{ 90 000 000 }",
        "(?x)a{9# (\n9999999}",
        f"({'ab' * 400}){{1000}}",
    ],
)
def test_what_would_be_unrolled_without_end_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="repeats something too often") as caught:
        compiled(f"re:{expression}")

    assert english.remedy(caught.value)


@pytest.mark.parametrize("expression", ["(?:" * 198 + "a" + ")*" * 198, r"\L<names>", "(?P<a>x)(?P=b)", "(", "[b-a]"])
def test_whatever_the_engine_cannot_compile_is_told_in_words(expression: str) -> None:
    with pytest.raises(UsageError, match="is not a regular expression"):
        compiled(f"re:{expression}")


def test_a_pattern_has_an_end() -> None:
    for pattern in ("x" * (LONGEST + 1), "re:" + "x" * LONGEST):
        with pytest.raises(UsageError, match="too long"):
            compiled(pattern)


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "0b1c7a52-0d8e-5a4b-9d0b-6f2a3f1d9f10"),
        (r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$", "2026-11-02T02:00:00"),
        (r"a{0,100000}b", "aab"),
        (r"order \{5\}", "order {5}"),
        (r"(?:order){e<=1}", "ordre"),
    ],
)
def test_what_people_really_write_goes_through(expression: str, fits: str) -> None:
    assert Matcher(1).any([f"re:{expression}"], [fits])
