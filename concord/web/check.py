"""What a look at one part of Concord found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part, looked at."""

    ok: bool
    detail: str
    cause: str = ""
    remedy: str = ""
    figures: Mapping[str, int] = field(default_factory=dict)  # shown at the top of the answer, for monitoring
