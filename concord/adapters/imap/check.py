"""The connection test (A4): address, connection, TLS, login, capabilities, folders, each told in plain words."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from concord.adapters.imap import wire
from concord.adapters.imap.errors import RAISED, facts_of, is_refusal, lost, refused
from concord.adapters.imap.folder_names import encode, readable, selectable
from concord.adapters.imap.keys import Keys
from concord.adapters.imap.login import log_in
from concord.adapters.imap.naming import introduce
from concord.adapters.imap.watchdog import Guard
from concord.errors import ConcordError, MailboxDeniedError, MailboxFolderError, MailboxTlsError
from concord.model.account import ALL_FOLDERS, INBOX, Account, Tls, folder_name
from concord.ports import CheckStep
from concord.settings import PollSettings

# What an error knows beyond its sentence.
_KNOWN = ("cause", "answer", "folder", "certificate")
# Folders that are told by name.
_MOST = 500
# What Concord makes use of, in the order people should see it.
USED = ("CONDSTORE", "MOVE", "UIDPLUS", "UNSELECT", "IDLE", "AUTH=XOAUTH2", "AUTH=OAUTHBEARER")


def steps(account: Account, *, settings: PollSettings, keys: Keys, guard: Guard) -> Iterator[CheckStep]:
    """Each step as it ends; the first that fails is the last."""
    visit = _Visit(account, settings, keys, guard)
    try:
        for name, work in visit.plan():
            step = _tried(name, work)
            yield step
            if not step.ok:
                return
    finally:
        visit.end()


def _tried(name: str, work: Callable[[], Finding]) -> CheckStep:
    try:
        found = work()
    except ConcordError as error:
        known = {fact: str(value) for fact in _KNOWN if (value := error.facts.get(fact))}
        return CheckStep(name=name, ok=False, cause="; ".join(known.values()), error=error, facts=known)
    return CheckStep(name=name, ok=True, detail=found.told, facts=found.facts)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found, in words and in parts."""

    told: str
    facts: Mapping[str, Any]


@dataclass
class _Visit:
    account: Account
    settings: PollSettings
    keys: Keys
    guard: Guard
    addresses: list[tuple[Any, ...]] = field(default_factory=list)
    line: socket.socket | None = None
    client: wire.Client | None = None
    secret: str = field(default="", repr=False)

    def plan(self) -> list[tuple[str, Callable[[], Finding]]]:
        return [
            ("dns", self.dns),
            ("tcp", self.tcp),
            ("tls", self.tls),
            *([("token", self.token)] if self.account.auth.is_oauth else []),
            ("login", self.login),
            ("capabilities", self.capabilities),
            ("folders", self.folders),
        ]

    def dns(self) -> Finding:
        self.addresses = wire.resolve(self.account, self.settings)
        addresses = list(dict.fromkeys(str(address[4][0]) for address in self.addresses))
        return Finding(", ".join(addresses), {"addresses": addresses})

    def tcp(self) -> Finding:
        self.line = wire.reach(self.account, self.addresses, timeout=self.settings.connect_timeout)
        self.guard.watch(self.line)
        peer = self.line.getpeername()
        return Finding(f"connected to {peer[0]} port {peer[1]}", {"address": peer[0], "port": peer[1]})

    def tls(self) -> Finding:
        assert self.line is not None  # noqa: S101 - the steps run in order
        try:
            if self.account.tls is Tls.IMPLICIT:
                self.line = wire.secure(self.account, self.line)
            self.client = wire.greet(self.account, self.line, self.settings)
            if self.account.tls is Tls.STARTTLS:
                wire.start_tls(self.account, self.client)
        except MailboxTlsError as error:
            if seen := self._untrusted_certificate():
                error.add(certificate=seen)
            raise
        secured = self.client.wire.sock
        if isinstance(secured, ssl.SSLSocket):
            told, facts = _certificate(secured)
            return Finding(f"{secured.version()}, {told}", {"version": secured.version(), **facts})
        return Finding("none: everything, the password included, travels in clear", {"version": None})

    def token(self) -> Finding:
        self.secret = self.keys.secret(self.account)
        until = self.keys.expiry(self.account)
        minutes = max(0, round((until - datetime.now(UTC)).total_seconds() / 60)) if until else 0
        client = self.account.oauth_client
        told = f"by the OAuth2 client '{client}', good for {minutes} minutes"
        return Finding(told, {"oauth_client": client, "minutes": minutes})

    def login(self) -> Finding:
        wire.refuse_unfit(self.account, self._client)
        secret = self.secret or self.keys.secret(self.account)
        try:
            log_in(self.account, self._client, secret)
        except MailboxDeniedError as error:
            secret = self.keys.another(self.account, secret, error)
            wire.hang_up(self._client)
            self.client = wire.connect(self.account, self.settings, self.guard)
            log_in(self.account, self._client, secret)
        introduce(self.account, self._client)
        return Finding(f"logged in as {self.account.user}", {"user": self.account.user})

    def capabilities(self) -> Finding:
        offered = {word.decode("ascii", "replace") for word in self._asked(lambda client: client.capabilities())}
        missing = [name for name in ("CONDSTORE", "UIDPLUS", "MOVE") if name not in offered]
        used = [name for name in USED if name in offered]
        told = ", ".join(used) or "nothing beyond the basics"
        facts = {"offered": used, "missing": missing}
        return Finding(f"{told}; not offered: {', '.join(missing)}" if missing else told, facts)

    def folders(self) -> Finding:
        listed = self._asked(lambda client: list(selectable(client.wire.list('""', '"*"')[1])))
        present = [folder_name(name) for name in readable(raw for raw, _ in listed)]
        named = [name for name in self.account.folders if name != ALL_FOLDERS]
        if not named:
            return Finding(
                f"{len(present)} folders: {', '.join(present[:20])}",
                {"folders": dict.fromkeys(sorted(present)[:_MOST])},
            )
        counts = {name: self._messages(name, present) for name in named}
        told = ", ".join(f"{name}: {count} messages" for name, count in counts.items())
        return Finding(told, {"folders": counts, "present": sorted(present)[:_MOST]})

    def end(self) -> None:
        if self.client:
            wire.hang_up(self.client, politely=True)
        elif self.line:
            self.line.close()

    @property
    def _client(self) -> wire.Client:
        assert self.client is not None  # noqa: S101 - the steps run in order
        return self.client

    def _messages(self, name: str, present: list[str]) -> int:
        if name not in present and name != INBOX:
            raise MailboxFolderError(
                "absent", folder=name, cause=f"there are: {', '.join(present[:20])}", **facts_of(self.account)
            )
        status = self._asked(lambda client: client.folder_status(encode(name), ["MESSAGES"]), folder=name)
        count = status.get(b"MESSAGES")
        # Anything may stand there: the server is a stranger's.
        return count if isinstance(count, int) else 0

    def _asked(self, question: Callable[[wire.Client], Any], **facts: str) -> Any:
        try:
            return question(self._client)
        except RAISED as error:
            known = {**facts_of(self.account), **facts}
            failure = refused(error, known, names_folder="folder" in facts) if is_refusal(error) else lost(error, known)
            raise failure from error

    def _untrusted_certificate(self) -> str | None:
        """Look at a certificate that was refused, on a connection that carries nothing else."""
        if self.account.tls is not Tls.IMPLICIT:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with contextlib.suppress(ConcordError, OSError, ValueError):
            line = wire.reach(self.account, self.addresses, timeout=self.settings.connect_timeout)
            with line, context.wrap_socket(line, server_hostname=self.account.host) as secured:
                return _certificate(secured)[0]
        return None


def _certificate(secured: ssl.SSLSocket) -> tuple[str, dict[str, Any]]:
    """The server's certificate in words and in parts."""
    certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    ends = certificate.not_valid_after_utc
    days = (ends - datetime.now(UTC)).days
    left = f"{days} days left" if days >= 0 else f"expired {-days} days ago"
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    told = f"certificate for {subject}, from {issuer}, valid until {ends:%Y-%m-%d} ({left})"
    return told, {"subject": subject, "issuer": issuer, "until": ends, "days": days}
