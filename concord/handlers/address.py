"""The address of a Redis that is not Concord's own: `redis://HOST:6379/0`, checked like the URL of a webhook.

The option `url` says where it is, for everybody to see. The handler's secret, where there is one, is the same address
with user and password, so that a password never goes to another place than the one it was typed for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from concord.egress.guard import EgressGuard
from concord.errors import UsageError
from concord.handlers.tools import HandlerTools

_PORT: Final = 6379


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Redis is."""

    host: str
    port: int
    database: int
    is_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> tuple[str, int, int, bool]:
        """All but who logs in."""
        return self.host, self.port, self.database, self.is_tls

    @property
    def url(self) -> str:
        """As kombu reads it, with the password."""
        login = f"{quote(self.user or '', safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.is_tls else 'redis'}://{login}{host}:{self.port}/{self.database}"


def parse_address(text: str) -> Address:
    """Read an address. Raises ValueError with what is wrong, never with the address itself."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port or _PORT
    except ValueError:
        raise ValueError("it is not a URL") from None
    database = parts.path.strip("/") or "0"
    if parts.scheme not in ("redis", "rediss"):
        raise ValueError("the address begins with redis:// or rediss://")
    if not parts.hostname:
        raise ValueError("the URL names no host")
    if not (database.isascii() and database.isdecimal() and len(database) <= 5) or parts.query or parts.fragment:  # noqa: PLR2004 - no Redis has more
        raise ValueError("after the host stands the number of the database, and nothing else")
    return Address(
        host=parts.hostname,
        port=port,
        database=int(database),
        is_tls=parts.scheme == "rediss",
        user=_word(parts, "username"),
        password=_word(parts, "password"),
    )


def parse_public_address(text: str) -> Address:
    """Read an address that everybody may see. Raises ValueError."""
    address = parse_address(text)
    if address.user or address.password:
        raise ValueError("the address has no password: the address with its password is the handler's secret")
    return address


def check_secret(secret: str) -> Address:
    """Read an address that is kept sealed. Raises UsageError, which never shows it."""
    try:
        address = parse_address(secret)
    except ValueError as error:
        raise UsageError("redis_secret", cause=error) from None
    if not address.password:
        raise UsageError("redis_secret", cause="it has no password")
    return address


def address_of(url: str | None, secret: str | None) -> Address | None:
    """Where a handler's Redis is; None: it is Concord's own. Raises UsageError where url and secret differ."""
    if url is None:
        if secret:
            raise UsageError("redis_secret", cause="the handler has no url")
        return None
    address = parse_public_address(url)
    if secret is None:
        return address
    sealed = check_secret(secret)
    if sealed.place != address.place:
        raise UsageError("redis_secret", cause="it is for another address")
    return sealed


def checked(address: Address, tools: HandlerTools) -> Address:
    """The address to connect to now. Raises AddressForbiddenError, and HandlerError where the name has none.

    Without TLS it is the very address that was checked; with TLS the name stays, and the certificate proves it.
    """
    guard = EgressGuard(allow=tools.webhook.allow_networks, resolve=tools.resolve)
    found = guard.addresses(address.host, address.port, seconds=tools.webhook.connect_timeout)
    return address if address.is_tls else replace(address, host=found[0])


def client_of(address: Address, tools: HandlerTools) -> redis.Redis:
    """A client of that Redis; it connects when first used, and tries once."""
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.user,
        password=address.password,
        ssl=address.is_tls,
        ssl_cert_reqs="required",
        decode_responses=True,
        socket_timeout=tools.webhook.timeout,
        socket_connect_timeout=tools.webhook.connect_timeout,
        retry=Retry(NoBackoff(), 0),
    )


def _word(parts: SplitResult, name: str) -> str | None:
    found: str | None = getattr(parts, name)
    return unquote(found) if found else None
