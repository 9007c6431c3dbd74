"""The order of the suite names modules that are there: one that was renamed would start last, unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lanes import FOLDERS, LONGEST_FIRST

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", LONGEST_FIRST)
def test_module_of_the_order_exists(name: str) -> None:
    assert (TESTS / f"{name}.py").is_file()


def test_stories_begin_with_some_that_need_no_package() -> None:
    """The packages are being built meanwhile."""
    stories = [name for name in LONGEST_FIRST if name.split("/")[0] in FOLDERS]

    assert not [name for name in stories[:3] if name.startswith("package/")]
