"""What /proc says of processes of our own user: proc(5). Nothing else of it is visible inside the units' sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_RESIDENT: Final = 1


def resident(pids: Iterable[int]) -> int:
    """The resident memory of these processes together, in octets; pages that a fork shares count for each."""
    return sum(_pages(pid) for pid in pids) * _PAGE


def _pages(pid: int, proc: Path = PROC) -> int:
    try:
        return int((proc / str(pid) / "statm").read_text(encoding="ascii").split()[_RESIDENT])
    except (OSError, IndexError, ValueError):
        return 0  # it has just ended


def proportional(pids: Iterable[int], proc: Path = PROC) -> int:
    """Their memory together, in octets, as the kernel shares it out: a page of several processes counts once.

    Where the kernel does not tell us that, a process's resident memory counts.
    """
    return sum(_share(proc / str(pid)) or _pages(pid, proc) * _PAGE for pid in pids)


def tree(pid: int, proc: Path = PROC) -> list[int]:
    """A process, and all that it or its children started."""
    found = [pid]
    for each in found:  # it grows meanwhile
        with suppress(OSError):
            children = (proc / str(each) / "task" / str(each) / "children").read_text(encoding="ascii")
            found += [int(child) for child in children.split()]
    return found


def group(pgid: int, proc: Path = PROC) -> list[int]:
    """The processes of a group that still run. A daemon under supervisord is the leader of one."""
    return [int(path.name) for path in proc.glob("[0-9]*") if _group(path) == pgid]


def _group(path: Path) -> int | None:
    with suppress(OSError):
        # The command's name, in brackets, may itself have blanks and brackets.
        state, _parent, pgid, *_ = (
            (path / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return int(pgid) if state not in "ZX" else None
    return None


def _share(path: Path) -> int:
    with suppress(OSError):
        for line in (path / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
