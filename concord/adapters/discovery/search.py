"""Asking everybody who may know, at the same time, until the likeliest answer is in or the time is up."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit

import dns.resolver

from concord.adapters.discovery.autoconfig import PLACES, Autoconfig, url_of
from concord.adapters.discovery.guess import NAMES, Guesses
from concord.adapters.discovery.records import SERVICES, Records
from concord.adapters.imap.contexts import context_for
from concord.egress.guard import EgressGuard, NetworkRule, Resolver, system_addresses
from concord.errors import AddressForbiddenError, ConcordError, UsageError
from concord.model.account import Tls
from concord.model.discovery import Asked, Discovery, DiscoverySource, FoundServer, MailAddress, Outcome
from concord.model.provider import GENERIC, host_of_domain
from concord.settings import DiscoverySettings, PollSettings

_RANK: Final = {source: rank for rank, source in enumerate(DiscoverySource)}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is outside: tests have their own."""

    resolver: dns.resolver.Resolver | None = None  # None: the machine's
    resolve: Resolver = system_addresses
    tls: Callable[[], ssl.SSLContext] = lambda: context_for(None)
    files: Sequence[str] = PLACES
    names: Sequence[tuple[str, int, Tls]] = NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    source: DiscoverySource
    place: str
    ask: Callable[[], Iterable[FoundServer]]


@dataclass
class _Answers:
    """What has come in so far."""

    open: dict[int, _Question]
    found: list[FoundServer] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def take(self, number: int, answer: list[FoundServer] | Exception) -> None:
        self.open.pop(number)
        if isinstance(answer, Exception):
            forbidden = isinstance(answer, AddressForbiddenError)
            self.outcomes[number] = Outcome.FORBIDDEN if forbidden else Outcome.NOTHING
            return
        self.outcomes[number] = Outcome.FOUND if answer else Outcome.NOTHING
        self.found.extend(answer)

    def settled(self) -> bool:
        """Whether nothing that is still open could say it better."""
        best = min((_RANK[server.source] for server in self.found), default=len(_RANK))
        return all(_RANK[question.source] > best for question in self.open.values())


class Autodiscovery:
    """Keeps `ports.Discoverer`."""

    def __init__(self, settings: DiscoverySettings, poll: PollSettings, world: World | None = None) -> None:
        self._settings = settings
        self._poll = poll
        self._world = world or World()

    def find(self, address: str) -> Discovery:
        """Ask; a provider's own domain needs no question. Raises UsageError where it is no mail address."""
        wanted = read_address(address)
        if known := preset(wanted):
            return known
        questions = dict(enumerate(self._questions(wanted)))
        answers = self._asked(questions)
        late = Outcome.SKIPPED if answers.settled() else Outcome.LATE
        asked = [
            Asked(source=question.source, place=question.place, outcome=answers.outcomes.get(number, late))
            for number, question in questions.items()
        ]
        return Discovery(address=str(wanted), found=tuple(_ranked(answers.found)), asked=tuple(asked))

    def _asked(self, questions: dict[int, _Question]) -> _Answers:
        """Daemon threads: one that waits for a resolver must hold up neither the answer nor the end of the process."""
        came: SimpleQueue[tuple[int, list[FoundServer] | Exception]] = SimpleQueue()

        def ask(number: int, question: _Question) -> None:
            try:
                came.put((number, list(question.ask())))
            except (ConcordError, OSError, ValueError) as error:
                came.put((number, error))

        for number, question in questions.items():
            threading.Thread(target=ask, args=(number, question), name=f"ask {question.place}", daemon=True).start()
        answers = _Answers(open=dict(questions))
        end = time.monotonic() + self._settings.timeout
        while answers.open and not answers.settled():
            try:
                answers.take(*came.get(timeout=max(end - time.monotonic(), 0)))
            except Empty:
                break
        return answers

    def _questions(self, address: MailAddress) -> Iterator[_Question]:
        """All of them, most to be believed first."""
        # A little less than all there is: an answer of "nothing" is better than none.
        seconds = self._settings.timeout * 0.9
        records = Records(self._world.resolver, seconds=seconds)
        for service, tls in SERVICES:
            name = f"{service}.{address.domain}"
            yield _Question(source=DiscoverySource.SRV, place=name, ask=partial(records.servers, address, name, tls))
        yield _Question(
            source=DiscoverySource.EXCHANGER, place=f"MX {address.domain}", ask=partial(records.hosted, address)
        )
        yield from self._files(address, seconds)
        yield from self._names(address, seconds)

    def _files(self, address: MailAddress, seconds: float) -> Iterator[_Question]:
        guard = EgressGuard(
            allow=self._settings.allow_networks, resolve=self._world.resolve, setting="discovery.allow_networks"
        )
        autoconfig = Autoconfig(guard, self._world.tls(), seconds=seconds)
        places = [(DiscoverySource.AUTOCONFIG, template) for template in self._world.files]
        if self._settings.directory_url:
            places.append((DiscoverySource.ISPDB, f"{self._settings.directory_url}{{domain}}"))
        for source, template in places:
            url = urlsplit(url_of(template, address.domain))
            yield _Question(
                source=source,
                place=f"{url.scheme}://{url.netloc}{url.path}",
                ask=partial(autoconfig.servers, address, template, source),
            )

    def _names(self, address: MailAddress, seconds: float) -> Iterator[_Question]:
        rule = NetworkRule(deny=self._poll.deny_networks, allow=self._poll.allow_networks)
        guesses = Guesses(rule, self._world.resolve, self._world.tls(), seconds=seconds)
        for name, port, tls in self._world.names:
            host = name.replace("{domain}", address.domain)
            yield _Question(
                source=DiscoverySource.GUESS,
                place=f"{host}:{port}",
                ask=partial(guesses.servers, address, host, port, tls),
            )


def read_address(address: str) -> MailAddress:
    """Raises UsageError where it is none."""
    try:
        return MailAddress.parse(address)
    except ValueError as error:
        raise UsageError("mail_address", address=address, cause=error) from None


def preset(address: MailAddress) -> Discovery | None:
    """The answer for a domain that is a provider's own: nobody needs to be asked."""
    host = host_of_domain(address.domain)
    if host is None:
        return None
    found = FoundServer(
        host=host,
        port=GENERIC.port,
        tls=GENERIC.tls,
        user=str(address),
        source=DiscoverySource.PRESET,
        place=address.domain,
    )
    asked = Asked(source=DiscoverySource.PRESET, place=address.domain, outcome=Outcome.FOUND)
    return Discovery(address=str(address), found=(found,), asked=(asked,))


def _ranked(found: Iterable[FoundServer]) -> Iterator[FoundServer]:
    """The likeliest first, each server once: who is most to be believed speaks for it."""
    seen: set[tuple[str, int]] = set()
    for server in sorted(found, key=lambda one: (_RANK[one.source], one.tls is not Tls.IMPLICIT)):
        if (server.host, server.port) not in seen:
            seen.add((server.host, server.port))
            yield server
