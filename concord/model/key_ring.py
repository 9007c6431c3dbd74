"""The key ring: what the database knows of the keys that open its secrets, and never a key in the clear (A3).

A rotation puts the new key into the ring, sealed with the old one, so that every daemon can open it while it runs; and
the old key, sealed with the new one, for what was sealed at the last moment. A key outside the database stays needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

# A report so old is of a daemon that does not run.
LIVE: Final = timedelta(seconds=45)
# A daemon that was not heard of for so long is gone for good.
KNOWN: Final = timedelta(days=7)
# Longer than anything sealed and kept elsewhere than in re-sealed rows is needed: an answer of the API, for 24 hours.
GRACE: Final = timedelta(hours=25)


class Phase(StrEnum):
    """How far a rotation is."""

    OFFERED = "offered"  # the new key opens; the old one still seals
    SEALING = "sealing"  # the new key seals; rows are sealed again
    DONE = "done"  # no row needs the old key


class Link(StrEnum):
    """Why a key is in the ring."""

    NEXT = "next"  # for daemons that have the old key only
    FORMER = "former"  # for what was sealed with the old key at the last moment


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A key, sealed with another one."""

    fingerprint: str
    wrapped_by: str  # the other key's fingerprint
    link: Link
    sealed: bytes = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotation:
    """The newest rotation."""

    new: str  # fingerprints
    old: str
    phase: Phase
    begun_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """All of it, at one moment. Empty before the first rotation."""

    rotation: KeyRotation | None = None
    keys: tuple[WrappedKey, ...] = ()
    check: bytes | None = field(default=None, repr=False)  # the value by which the database knows its key

    @property
    def seals(self) -> str | None:
        """The fingerprint of the key that seals; None: the first one of the key file."""
        return self.rotation.new if self.rotation and self.rotation.phase is not Phase.OFFERED else None

    def linked(self, link: Link) -> list[WrappedKey]:
        """Its keys of that kind."""
        return [key for key in self.keys if key.link is link]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """Which keys a daemon can open secrets with: fingerprints, never a key."""

    daemon: str  # poll@mail.example.com
    own: frozenset[str]  # of its key file or credential: it will have these after a restart
    opens: frozenset[str]  # those that the ring adds, too
    trouble: str | None = None  # why it cannot open the database's secrets
    seen_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Whether the daemon runs. A time ahead is of a clock that was wrong, and says nothing."""
        return abs(now - self.seen_at) <= LIVE
