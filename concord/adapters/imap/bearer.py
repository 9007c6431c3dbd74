"""Showing a token in place of a password: OAUTHBEARER (RFC 7628), and XOAUTH2, Google's and Microsoft's forerunner."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from concord.adapters.imap.errors import facts_of
from concord.errors import MailboxDeniedError
from concord.model.account import Account
from concord.model.provider import provider_of

BEARER: Final = "OAUTHBEARER"
FORERUNNER: Final = "XOAUTH2"
_LONGEST: Final = 200
# What a server may say of a token in its error document (RFC 7628, section 3.2.2); Google says HTTP's numbers.
_STALE: Final = ("invalid_token", "401", "400")
_SHORT: Final = ("insufficient_scope", "403")


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One AUTHENTICATE: our words, and the error document that the server may answer before it says NO."""

    mechanism: str
    account: Account
    token: str = field(repr=False)
    said: bytes | None = None

    @property
    def initial(self) -> bytes:
        """RFC 7628 section 3.1; Google's "XOAUTH2 mechanism"."""
        user = self.account.user
        if self.mechanism == FORERUNNER:
            return f"user={user}\x01auth=Bearer {self.token}\x01\x01".encode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        place = f"host={self.account.host}\x01port={self.account.port}"
        return f"n,a={name},\x01{place}\x01auth=Bearer {self.token}\x01\x01".encode()

    def respond(self, challenge: bytes) -> bytes:
        """First the token. A second challenge is why not; the server waits for an empty word before it says NO."""
        if not challenge:
            return self.initial
        self.said = challenge
        return b"" if self.mechanism == FORERUNNER else b"\x01"

    @property
    def status(self) -> str:
        """The server's word for what is wrong with the token; empty where it has none."""
        try:
            document = json.loads(self.said or b"")
        except ValueError:
            return ""
        word = document.get("status") if isinstance(document, dict) else None
        return str(word)[:_LONGEST] if isinstance(word, str | int) else ""


def chosen(capabilities: Iterable[str]) -> str | None:
    """The standard where it is offered."""
    offered = {word.upper() for word in capabilities}
    return next((name for name in (BEARER, FORERUNNER) if f"AUTH={name}" in offered), None)


def not_offered(account: Account) -> MailboxDeniedError:
    """There are servers that know passwords only."""
    return MailboxDeniedError("no_oauth", **facts_of(account))


def denied(account: Account, failure: MailboxDeniedError, exchange: Exchange) -> MailboxDeniedError:
    """A token that the provider has just given, and the mail server does not take."""
    status = exchange.status
    facts = {**facts_of(account), "user": account.user, "status": status or None}
    answer = failure.facts.get("answer")
    if status in _SHORT:
        return MailboxDeniedError("token.scope", answer=answer, **facts)
    if provider_of(account.host).oauth == "microsoft":
        return MailboxDeniedError("token.microsoft", answer=answer, **facts)
    return MailboxDeniedError("token", answer=answer, **facts)
