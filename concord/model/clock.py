"""A host's clock, compared with the database's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClock:
    """How wrong the clock of one host is."""

    host: str
    ahead: float  # seconds; less than 0: behind
