"""Which version of Concord is the newer one."""

from __future__ import annotations

import pytest

from concord.model.version import is_newer


@pytest.mark.parametrize(
    ("version", "other", "newer"),
    [
        ("0.3.0", "0.2.0", True),
        ("0.10.0", "0.9.2", True),
        ("0.2.0", "0.3.0", False),
        ("1", "1.0.0", False),
        ("1.0.0", "1", False),
        ("1.0.1", "1", True),
        ("0.2.0-next", "0.2.0", False),
        ("0.2.0", "0.2.0rc1", False),
        ("0.1", "", True),
        ("", "0.1", False),
        ("dev", "dev", False),
    ],
)
def test_numbers_decide(version: str, other: str, *, newer: bool) -> None:
    assert is_newer(version, other) is newer
