"""What could be found out about a mail address: the IMAP servers that may be its own, and who said so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from concord.model.account import Tls
from concord.model.provider import provider_of

# RFC 5321 section 4.5.3.1.
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 253
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


class DiscoverySource(StrEnum):
    """Who may know, most to be believed first."""

    PRESET = "preset"  # the domain is a provider's own
    SRV = "srv"  # the domain's DNS says so (RFC 6186, RFC 8314)
    EXCHANGER = "exchanger"  # a known provider takes the domain's mail (MX)
    AUTOCONFIG = "autoconfig"  # the domain's own file for mail programs
    ISPDB = "ispdb"  # a directory of such files, where the operator has named one
    GUESS = "guess"  # a usual name that answers with a certificate to be trusted


class Outcome(StrEnum):
    """What came of asking."""

    FOUND = "found"
    NOTHING = "nothing"
    FORBIDDEN = "forbidden"  # it leads to an address that Concord must not call
    LATE = "late"  # no answer in the time there was
    SKIPPED = "skipped"  # a better answer came first


@dataclass(frozen=True, slots=True, kw_only=True)
class MailAddress:
    """`local@domain`; the domain in lower case and ASCII."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the form people type. Raises ValueError."""
        local, at, written = text.strip().rpartition("@")
        domain = ascii_host(written)
        if not at or not domain or "." not in domain or not 0 < len(local) <= _LONGEST_LOCAL or not local.isprintable():
            raise ValueError("a mail address is NAME@DOMAIN")
        return cls(local=local, domain=domain)

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServer:
    """An IMAP server that may be the address's own."""

    host: str
    port: int
    tls: Tls
    user: str
    source: DiscoverySource
    place: str  # what was asked: a name in DNS, a host, a URL

    @property
    def provider(self) -> str:
        """The key of the provider behind it; `generic` where it is none we know."""
        return provider_of(self.host).key


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question and what came of it."""

    source: DiscoverySource
    place: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """All there is to know. The first of `found` is the likeliest; a server stands there once."""

    address: str
    found: tuple[FoundServer, ...]
    asked: tuple[Asked, ...]

    @property
    def best(self) -> FoundServer | None:
        """The one to fill the form with."""
        return self.found[0] if self.found else None


def ascii_host(name: str) -> str | None:
    """A host name in lower case and ASCII, without its last dot; None where it can be none."""
    try:
        encoded = name.removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = encoded.split(".")
    fits = len(encoded) <= _LONGEST_DOMAIN and all(_LABEL.fullmatch(label) for label in labels)
    # Four numbers are an address, or a mistyped one.
    return encoded if fits and not labels[-1].isdecimal() else None
