"""Versions of Concord, and which is the newer one."""

from __future__ import annotations

import re


def is_newer(version: str, other: str) -> bool:
    """Whether its numbers are higher: 0.10.0 is newer than 0.9.2. Builds of the same numbers are the same version."""
    return _numbers(version) > _numbers(other)


def _numbers(version: str) -> list[int]:
    released = re.match(r"[0-9.]*", version)
    numbers = [int(number) for number in (released.group() if released else "").split(".") if number]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
