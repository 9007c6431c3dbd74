"""What slows a guesser down: limits on attempts, and the network that an address's attempts count for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_FIRST_PAUSE: Final = timedelta(seconds=2)
_LONGEST_PAUSE: Final = timedelta(minutes=15)
_MOST_DOUBLINGS: Final = 20
_SITE: Final = 64  # bits: one customer's line has so many addresses that single ones mean nothing (RFC 6177)


class Lane(Enum):
    """In which queue a password waits to be checked: no crowd of guessers fills the other two."""

    KNOWN = auto()  # a session's user, or a browser that the user has signed in with
    FIRST = auto()  # a network's first attempt at a name
    AGAIN = auto()


@dataclass(frozen=True, slots=True)
class Pauses:
    """After `free` attempts each further one must wait twice as long as the one before, up to a quarter of an hour."""

    key: str
    free: int

    def until(self, attempts: int, _until: datetime | None, now: datetime) -> datetime | None:
        """Before when no further attempt is taken, after the attempt that was the last of so many."""
        over = attempts - self.free
        return None if over < 0 else now + min(_FIRST_PAUSE * 2 ** min(over, _MOST_DOUBLINGS), _LONGEST_PAUSE)

    def wait(self, until: datetime | None, now: datetime) -> timedelta:
        """How long the next attempt must wait."""
        return max(until - now, timedelta()) if until else timedelta()


@dataclass(frozen=True, slots=True)
class Budget:
    """A leaky bucket (GCRA): `burst` attempts at once, and one more `every` so long."""

    key: str
    burst: int
    every: timedelta

    def until(self, _attempts: int, until: datetime | None, now: datetime) -> datetime:
        """When the bucket is empty again, after one more attempt."""
        return max(until or now, now) + self.every

    def wait(self, until: datetime | None, now: datetime) -> timedelta:
        """How long the next attempt must wait."""
        return max((until or now) - now - self.every * (self.burst - 1), timedelta())


Limit = Pauses | Budget


def network_of(address: str) -> str:
    """Whose attempts an address's count for: an IPv4 address by itself, of IPv6 the whole /64."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(IPv6Network((found, _SITE), strict=False))
    return str(found)
