"""Trying a handler: one delivery now, and what a person wants to know of it, without the secrets that went along."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from concord.errors import ConcordError, HandlerError
from concord.handlers.registry import Handlers
from concord.handlers.showing import HIDDEN
from concord.handlers.tools import Exchange, HandlerTools
from concord.model.binding import of_handler
from concord.model.rule import HandlerSpec
from concord.ports import Consignment

# Somebody waits in front of a screen.
PATIENCE: Final = 20
SHOWN: Final = 2000
_SHORTEST_SECRET: Final = 4
# Of an answer's headers, those that help to find out what went wrong.
_TELLING: Final = ("content-type", "retry-after", "location", "server", "www-authenticate", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and its answer."""

    host: str
    octets: int  # sent
    sent: tuple[str, ...]  # names of the headers
    status: int
    headers: Mapping[str, str]  # the answer's, those that tell something
    body: str  # its beginning
    cut: bool  # it goes on
    milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it. `error` is None where the handler took the event."""

    facts: Mapping[str, object]
    error: ConcordError | None
    calls: tuple[Call, ...]  # more than one where the receiver redirects
    milliseconds: int


def attempt(spec: HandlerSpec, consignment: Consignment, tools: HandlerTools) -> Trial:
    """Deliver, within 20 seconds for what is called. Raises nothing: a handler may be foreign code."""
    seen: list[Exchange] = []
    begun = time.monotonic()
    facts: Mapping[str, object] = {}
    trouble: ConcordError | None = None
    try:
        handlers = Handlers(replace(tools, observe=seen.append, patience=PATIENCE))
        facts = handlers.get(spec).deliver(consignment)
    except ConcordError as error:
        trouble = error
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything at all
        trouble = HandlerError("unexpected", cause=f"{type(error).__name__}: {error}")
    words = _secrets(spec, tools)
    return Trial(
        facts=facts,
        error=trouble and _without(trouble, words),
        calls=tuple(_told(one, words) for one in seen),
        milliseconds=_milliseconds(time.monotonic() - begun),
    )


def _told(exchange: Exchange, words: tuple[str, ...]) -> Call:
    body = exchange.body.decode("utf-8", "replace")
    return Call(
        host=exchange.host,
        octets=exchange.octets,
        sent=exchange.sent,
        status=exchange.status,
        headers={name: _hide(exchange.headers[name], words) for name in _TELLING if name in exchange.headers},
        body=_hide(body, words)[:SHOWN],
        cut=len(body) > SHOWN or not exchange.whole,
        milliseconds=_milliseconds(exchange.seconds),
    )


def _without(error: ConcordError, words: tuple[str, ...]) -> ConcordError:
    """The same without what a receiver says, which is told with its call, and without secrets that it may repeat."""
    error.facts = {name: _hide(str(value), words) for name, value in error.facts.items() if name != "answer"}
    return error


def _secrets(spec: HandlerSpec, tools: HandlerTools) -> tuple[str, ...]:
    """What a receiver that repeats its request would show: the values of headers, and the secret's words."""
    headers: Any = spec.options.get("headers")
    values = [str(value) for value in headers.values()] if isinstance(headers, Mapping) else []
    try:
        sealed = tools.unseal(spec.secret, of_handler(spec)).split() if spec.secret else []
    except ConcordError:
        sealed = []
    return tuple(word for word in (*values, *sealed) if len(word) >= _SHORTEST_SECRET)


def _hide(text: str, words: Iterable[str]) -> str:
    for word in words:
        text = text.replace(word, HIDDEN)
    return text


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
