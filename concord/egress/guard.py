"""Which addresses Concord may be made to call. Whoever types a name must not reach what only this host can.

The check is made on addresses, never on names: a name may answer differently each time it is asked.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, SimpleQueue
from typing import Final

from concord.errors import AddressForbiddenError, HandlerError

Resolver = Callable[[str, int], Sequence[str]]
"""The addresses of a host, in order of preference; OSError where it has none."""

WEBHOOKS: Final = "webhook.allow_networks"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# All that IANA has given out as global unicast; the standard library calls more than that global.
_GLOBAL_6: Final = IPv6Network("2000::/3")
# Its idea of what is special inside changes from one release to the next, so these are named here.
_SPECIAL: Final[tuple[Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # Azure's host answers there: agent, DNS, secrets of the machine
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, ORCHID, benchmarking
        "2001:db8::/32",
        "3fff::/20",
    )
)
# RFC 6052 and RFC 8215: a translator turns these into calls to the IPv4 address in their last 32 bits.
_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/96"))
_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1, long deprecated, still routed by some
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")  # RFC 2765 section 2.1, the same
_NOT_COMPATIBLE: Final = (
    IPv6Address("::"),
    IPv6Address("::1"),
)  # unspecified and loopback, whatever their last 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressGuard:
    """Resolves names and refuses what is private, unless it lies in a network the operator allows."""

    allow: Sequence[Network]
    resolve: Resolver
    setting: str = WEBHOOKS  # what an operator changes to allow more

    def addresses(self, host: str, port: int, *, seconds: float) -> list[str]:
        """Where to connect to, checked. One forbidden address refuses the host: mixed answers are made to fool guards.

        Raises AddressForbiddenError, and HandlerError where the name has no address within `seconds`.
        """
        found = _within(self.resolve, host, port, seconds)
        for address in found:
            if not self.permits(address):
                raise AddressForbiddenError(host=host, address=address, allow_in=self.setting)
        return found

    def permits(self, address: str) -> bool:
        """Whether this address may be called."""
        plain = ip_address(address.partition("%")[0])
        inner = embedded(plain)
        if any(candidate in network for network in self.allow for candidate in (plain, inner) if candidate):
            return True
        return is_public(plain) if inner is None else is_public(inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRule:
    """Permits every address but those of denied networks; of these it permits what is allowed all the same."""

    deny: Sequence[Network]
    allow: Sequence[Network] = ()

    def permits(self, address: str) -> bool:
        """Whether this address may be called, also where it stands inside an IPv6 address."""
        plain = ip_address(address.partition("%")[0])
        inner = embedded(plain)
        meant = [candidate for candidate in (plain, inner) if candidate]
        if any(candidate in network for network in self.allow for candidate in meant):
            return True
        return not any(candidate in network for network in self.deny for candidate in meant)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could call it: global unicast and nothing else."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_6:
        return False
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address really leads to, if it does."""
    if not isinstance(address, IPv6Address):
        return None
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address in _NOT_COMPATIBLE:
        return None
    if any(address in network for network in (*_NAT64, _COMPATIBLE, _TRANSLATED)):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def system_addresses(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _within(resolve: Resolver, host: str, port: int, seconds: float) -> list[str]:
    """Ask, but not for ever: the system's resolver knows no time-out, so a thread of its own waits for it."""
    answers: SimpleQueue[list[str] | OSError | UnicodeError] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(resolve(host, port)))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=max(seconds, 0))
    except Empty:
        raise HandlerError("dns_timeout", host=host) from None
    if isinstance(answer, Exception) or not answer:
        raise HandlerError("no_address", host=host, cause=answer or "the answer is empty")
    return answer
