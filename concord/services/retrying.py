"""What came of trying things again, whatever they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from concord.errors import QueueDownError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """Numbers of those that will be tried again, and of those that cannot be.

    With `trouble`, Redis is away: they wait for the sweep, which queues them once it answers.
    """

    changed: tuple[int, ...]
    unchanged: tuple[int, ...] = ()
    trouble: QueueDownError | None = None

    @classmethod
    def of(cls, ids: Iterable[int], changed: Sequence[int], trouble: QueueDownError | None) -> Self:
        """From what was asked for, and what of it came about."""
        done = set(changed)
        return cls(changed=tuple(changed), unchanged=tuple(one for one in ids if one not in done), trouble=trouble)


def numbered(ids: Sequence[int], noun: str) -> str:
    """`run 7`, `12 runs`: an audit row's subject."""
    if len(ids) == 1:
        return f"{noun} {ids[0]}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{len(ids)} {plural}"


def listed(ids: Iterable[int]) -> str:
    """`3, 4, 7`, or that there are none."""
    return ", ".join(map(str, ids)) or "none could be"
