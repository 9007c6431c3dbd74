"""Filling a sentence that is not a literal of the code (issue 10, finding 1)."""

from __future__ import annotations

import tracemalloc

import pytest

from concord.wording.template import fill

MOST_OCTETS = 100_000


def test_fills_each_hole_once() -> None:
    assert fill("%(name)s has %(num)d mails, 100 %%", {"name": "%(num)s", "num": 3}) == "%(num)s has 3 mails, 100 %"


def test_says_which_value_is_missing() -> None:
    with pytest.raises(KeyError, match="name"):
        fill("'%(name)s' is removed", {})


@pytest.mark.parametrize(
    "template",
    [
        "%(a)300000000s",
        "%(a)-300000000s",
        "%(a)0300000000d",
        "%(a).300000000f",
        "%(a)*s",
        "%300000000s",
        "{a:>300000000}",
        "{a.__class__.__mro__}",
    ],
)
def test_widths_and_precisions_mean_nothing(template: str) -> None:
    tracemalloc.start()
    try:
        assert fill(template, {"a": "1"}) == template
        assert tracemalloc.get_traced_memory()[1] < MOST_OCTETS
    finally:
        tracemalloc.stop()
