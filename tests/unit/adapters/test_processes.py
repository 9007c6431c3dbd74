"""Processes as /proc tells of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.adapters.processes import group, proportional, resident, tree
from tests.waiting import eventually

# A parent and a child, in a group of their own.
FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


@pytest.fixture
def parent() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, start_new_session=True) as process:
        assert eventually(lambda: len(tree(process.pid)) == 2)
        yield process.pid


def test_tree_and_group_have_parent_and_child(parent: int) -> None:
    assert sorted(tree(parent)) == sorted(group(parent))


def test_shared_pages_count_once(parent: int) -> None:
    family = tree(parent)

    assert 0 < proportional(family) <= resident(family)


def test_where_the_kernel_does_not_share_out_resident_memory_counts(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "statm").write_text("900 100 0 0 0 0 0\n", encoding="ascii")

    assert proportional([7], tmp_path) == 100 * os.sysconf("SC_PAGE_SIZE")


def test_process_that_has_ended_counts_nothing() -> None:
    assert proportional([2**22 + 1]) == 0
    assert tree(2**22 + 1) == [2**22 + 1]


def test_group_reads_names_with_brackets_and_leaves_out_the_dead(tmp_path: Path) -> None:
    for pid, stat in {"1": "1 (a) b) S 0 9 9", "2": "2 (x) Z 1 9 9", "3": "3 (x) R 1 8 8"}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(f"{stat} 0 0 0\n", encoding="ascii")

    assert group(9, tmp_path) == [1]
