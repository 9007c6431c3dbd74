"""What /proc says of processes of our own user: proc(5). Nothing else of it is visible inside the units' sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_RESIDENT: Final = 1


def resident(pids: Iterable[int]) -> int:
    """The resident memory of these processes together, in octets; pages that a fork shares count for each."""
    return sum(_pages(pid) for pid in pids) * _PAGE


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[_RESIDENT])
    except (OSError, IndexError, ValueError):
        return 0  # it has just ended
