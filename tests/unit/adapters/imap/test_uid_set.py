"""Sets of UIDs as IMAP writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.adapters.imap.uid_set import batches, uid_set


@pytest.mark.parametrize(
    ("uids", "text"),
    [([], ""), ([7], "7"), ([1, 2], "1:2"), ([5, 1, 2, 3, 9, 9], "1:3,5,9"), ([4294967295], "4294967295")],
)
def test_runs_are_written_as_ranges(uids: list[int], text: str) -> None:
    assert uid_set(uids) == text


@given(st.lists(st.integers(1, 300)))
def test_a_set_names_exactly_its_uids(uids: list[int]) -> None:
    """A range that covered one more would delete a stranger's mail."""
    named: list[int] = []
    for part in filter(None, uid_set(uids).split(",")):
        low, _, high = part.partition(":")
        named += range(int(low), int(high or low) + 1)

    assert named == sorted(set(uids))


def test_batches_keep_order_and_lose_none() -> None:
    assert [list(batch) for batch in batches([5, 3, 9, 1, 2], 2)] == [[5, 3], [9, 1], [2]]
