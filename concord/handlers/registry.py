"""Finds and makes the handler that a configuration asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from concord.errors import ConcordError, HandlerRefusedError, Mistake, UsageError, nearest
from concord.handlers import plugins
from concord.handlers.address import check_secret
from concord.handlers.celery_task import CeleryHandler, CeleryOptions
from concord.handlers.log import LogHandler, LogOptions
from concord.handlers.options import Options, option_mistakes, read
from concord.handlers.redis_stream import RedisStreamHandler, RedisStreamOptions
from concord.handlers.signature import Signer
from concord.handlers.tools import HandlerTools
from concord.handlers.webhook import WebhookHandler, WebhookOptions
from concord.model.binding import of_handler
from concord.model.rule import HandlerSpec
from concord.ports import Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of handler that Concord brings itself."""

    options: type[Options]
    make: Callable[[Any, HandlerTools, str | None], Handler]
    check_secret: Callable[[str], object] | None = None  # None: it has no use for a secret


def _webhook(options: WebhookOptions, tools: HandlerTools, secret: str | None) -> Handler:
    return WebhookHandler(options, tools, Signer.parse(secret) if secret else None)


KINDS: Final[Mapping[str, Kind]] = {
    "log": Kind(options=LogOptions, make=lambda _options, _tools, _secret: LogHandler()),
    "webhook": Kind(options=WebhookOptions, make=_webhook, check_secret=Signer.parse),
    "redis-stream": Kind(options=RedisStreamOptions, make=RedisStreamHandler, check_secret=check_secret),
    "celery": Kind(options=CeleryOptions, make=CeleryHandler, check_secret=check_secret),
}


class Handlers:
    """Makes each handler once, and anew when its configuration has changed."""

    def __init__(self, tools: HandlerTools) -> None:
        self._tools = tools
        self._made: dict[str, tuple[HandlerSpec, Handler]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def kinds() -> tuple[str, ...]:
        """All that can be configured: Concord's own, then those that installed packages bring."""
        brought = (name for name in plugins.names(plugins.HANDLERS) if name not in KINDS)
        return (*KINDS, *brought)

    def get(self, spec: HandlerSpec) -> Handler:
        """Raises HandlerRefusedError for a kind or options that cannot be used, SecretKeyError for the wrong key.

        Deliveries wait while the secret does not open: nobody who tampers with the database ends them.
        """
        with self._lock:
            known = self._made.get(spec.name)
            if known is None or known[0] != spec:
                known = (spec, self._make(spec))
                self._made[spec.name] = known
            return known[1]

    @classmethod
    def check(cls, kind: str, options: Mapping[str, Any], *, has_secret: bool) -> None:
        """Refuse what cannot be used before it is kept. Raises UsageError; HandlerRefusedError for a broken package."""
        own = cls._own(kind)
        if own is None:
            return
        read(own.options, options, kind=kind)
        if has_secret and own.check_secret is None:
            raise _useless_secret(kind)

    @classmethod
    def mistakes(cls, kind: str, options: Mapping[str, Any], *, has_secret: bool) -> list[Mistake]:
        """The same for a form: all at once, each with its place in the handler's written form."""
        try:
            own = cls._own(kind)
        except (UsageError, HandlerRefusedError) as error:
            return [Mistake(("kind",), _as_usage(error))]
        if own is None:
            return []
        found = [Mistake(("options", *one.path), one.error) for one in option_mistakes(own.options, options, kind=kind)]
        useless = has_secret and own.check_secret is None
        return [*found, *([Mistake(("secret",), _useless_secret(kind))] if useless else [])]

    @classmethod
    def _own(cls, kind: str) -> Kind | None:
        """One of Concord's; None for one that a package brings, and that can be loaded."""
        if kind not in cls.kinds():
            raise _unknown(kind, cls.kinds())
        if kind not in KINDS:
            plugins.check(plugins.HANDLERS, kind)
        return KINDS.get(kind)

    @staticmethod
    def check_secret(kind: str, secret: str) -> None:
        """Refuse a secret that the kind cannot use. Raises UsageError, which never shows it."""
        own = KINDS.get(kind)
        if own and own.check_secret:
            own.check_secret(secret)

    def _make(self, spec: HandlerSpec) -> Handler:
        secret = self._tools.unseal(spec.secret, of_handler(spec)) if spec.secret else None
        try:
            own = KINDS.get(spec.kind)
            if own is not None:
                return own.make(read(own.options, spec.options, kind=spec.kind), self._tools, secret)
            if spec.kind not in self.kinds():
                raise _unknown(spec.kind, self.kinds())
            return plugins.make_handler(spec.kind, {**spec.options, **({"secret": secret} if secret else {})})
        except UsageError as error:
            raise error.recast(HandlerRefusedError, handler=spec.name) from error


def takes_secret(kind: str) -> bool:
    """Whether a secret is of use to it; of other packages' kinds nobody knows."""
    own = KINDS.get(kind)
    return own is None or own.check_secret is not None


def _useless_secret(kind: str) -> UsageError:
    return UsageError("secret_useless", kind=kind)


def _as_usage(error: ConcordError) -> UsageError:
    return error.recast(UsageError)


def _unknown(kind: str, known: tuple[str, ...]) -> UsageError:
    return UsageError("handler_kind", kind=kind, near=nearest(kind, known), known=", ".join(known))
