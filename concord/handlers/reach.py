"""Whether a URL may be called at all, asked before it is kept: the same guard that watches every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from concord.egress.guard import EgressGuard
from concord.errors import AddressForbiddenError, HandlerError
from concord.handlers.address import parse_address
from concord.handlers.endpoint import parse_url
from concord.handlers.tools import HandlerTools

_SECONDS: Final = 3
_BROKERS: Final = ("redis-stream", "celery")
_PORTS: Final = {"http": 80, "https": 443}


def refusal(kind: str, options: Mapping[str, Any], tools: HandlerTools) -> AddressForbiddenError | None:
    """Why a handler's URL must not be called; None where it may be, or where that is not known.

    A name without an address just now is no mistake: it may get one, and each call is checked again.
    """
    if kind not in ("webhook", *_BROKERS) or not isinstance(options.get("url"), str):
        return None
    guard = EgressGuard(allow=tools.webhook.allow_networks, resolve=tools.resolve)
    try:
        if kind in _BROKERS:
            address = parse_address(options["url"])
            guard.addresses(address.host, address.port, seconds=_SECONDS)
            return None
        url = parse_url(options["url"])
        guard.addresses(url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme], seconds=_SECONDS)
    except AddressForbiddenError as error:
        return error
    except (HandlerError, ValueError):
        return None
    return None
