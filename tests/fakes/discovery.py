"""Discovery without a network: what a test says of an address, and of all others that nobody knows."""

from __future__ import annotations

from concord.adapters.discovery.search import preset, read_address
from concord.model.discovery import Asked, Discovery, DiscoverySource, FoundServer, Outcome


class MemoryDiscoverer:
    """`servers` are those of an address, the likeliest first."""

    def __init__(self) -> None:
        self.servers: dict[str, tuple[FoundServer, ...]] = {}
        self.asked: list[str] = []

    def find(self, address: str) -> Discovery:
        self.asked.append(address)
        wanted = read_address(address)
        if known := preset(wanted):
            return known
        found = self.servers.get(str(wanted), ())
        outcome = Outcome.FOUND if found else Outcome.NOTHING
        asked = Asked(source=DiscoverySource.SRV, place=f"_imaps._tcp.{wanted.domain}", outcome=outcome)
        return Discovery(address=str(wanted), found=found, asked=(asked,))
