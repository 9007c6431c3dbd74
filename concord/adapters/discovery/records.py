"""What a domain's DNS says of its mail: the service records of RFC 6186, and who takes its mail."""

from __future__ import annotations

from collections.abc import Iterator

import dns.exception
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.SRV import SRV

from concord.errors import LookupFailedError
from concord.model.account import Tls
from concord.model.discovery import DiscoverySource, FoundServer, MailAddress, ascii_host
from concord.model.provider import GENERIC, host_of_exchanger

# RFC 8314 section 5: implicit TLS is to be preferred.
SERVICES = (("_imaps._tcp", Tls.IMPLICIT), ("_imap._tcp", Tls.STARTTLS))


class Records:
    """Asks the machine's name servers, or those of the resolver given."""

    def __init__(self, resolver: dns.resolver.Resolver | None, *, seconds: float) -> None:
        self._resolver = resolver
        self._seconds = seconds

    def servers(self, address: MailAddress, name: str, tls: Tls) -> Iterator[FoundServer]:
        """Those of one service record, in the order of RFC 2782. A target of "." says that there is none."""
        records = [one for one in self._ask(name, dns.rdatatype.SRV) if isinstance(one, SRV)]
        for record in sorted(records, key=lambda one: (one.priority, -one.weight)):
            if host := ascii_host(record.target.to_text()):
                yield FoundServer(
                    host=host, port=record.port, tls=tls, user=str(address), source=DiscoverySource.SRV, place=name
                )

    def hosted(self, address: MailAddress) -> Iterator[FoundServer]:
        """The server of the provider that takes the domain's mail, if it is one we know."""
        exchangers = [one for one in self._ask(address.domain, dns.rdatatype.MX) if isinstance(one, MX)]
        for exchanger in sorted(exchangers, key=lambda one: one.preference):
            place = exchanger.exchange.to_text(omit_final_dot=True)
            if host := host_of_exchanger(place):
                yield FoundServer(
                    host=host,
                    port=GENERIC.port,
                    tls=GENERIC.tls,
                    user=str(address),
                    source=DiscoverySource.EXCHANGER,
                    place=place,
                )

    def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> list[dns.rdata.Rdata]:
        """Raises LookupFailedError where nobody answered; nothing there is an answer."""
        try:
            resolver = self._resolver or dns.resolver.Resolver()
            return list(resolver.resolve(f"{name}.", kind, lifetime=self._seconds, raise_on_no_answer=False))
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailedError("dns", name=name, cause=type(error).__name__) from error
