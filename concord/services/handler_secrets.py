"""Secrets that webhooks are signed with: made here, shown once, changed without a gap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from concord.auditing import audited
from concord.handlers import signature
from concord.model.binding import of_handler
from concord.model.caller import Caller
from concord.model.rule import HandlerSpec
from concord.services.handlers import HandlerChecks, find

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def fresh() -> str:
    """A secret for a handler that is about to be kept."""
    return signature.new_secret()


def make(parts: Concord, name: str, *, keep: bool, by: Caller) -> str:
    """Make a secret and sign with it from now on; to be shown once, for nobody can read it again.

    With `keep`, the ones so far sign too, until `forget_old`: a receiver may change at its leisure.
    Raises NotFoundError, UsageError for a kind without secrets, SecretKeyError.
    """
    with audited(parts.audit, by, "handler.secret", name, detail="a new one; older ones stay" if keep else "a new one"):
        spec = _stored(parts, name)
        secret = signature.new_secret()
        older = parts.sealing().unseal(spec.secret, of_handler(spec)).split() if keep and spec.secret else []
        HandlerChecks().handler(spec, secret)
        # The newest first; the oldest go where there are too many.
        words = [secret, *older][: signature.MOST_KEYS]
        parts.rulebook.save_handler(replace(spec, secret=parts.sealing().seal(" ".join(words), of_handler(spec))))
        return secret


def forget_old(parts: Concord, name: str, *, by: Caller) -> None:
    """Sign with the newest alone. Raises NotFoundError, SecretKeyError."""
    with audited(parts.audit, by, "handler.secret", name, detail="older ones forgotten"):
        spec = _stored(parts, name)
        words = parts.sealing().unseal(spec.secret, of_handler(spec)).split() if spec.secret else []
        if len(words) > 1:
            parts.rulebook.save_handler(replace(spec, secret=parts.sealing().seal(words[0], of_handler(spec))))


def amount(parts: Concord, spec: HandlerSpec) -> int:
    """How many it signs with. Raises SecretKeyError."""
    return len(parts.sealing().unseal(spec.secret, of_handler(spec)).split()) if spec.secret else 0


def _stored(parts: Concord, name: str) -> HandlerSpec:
    """One that somebody configured; what is built in has nothing to change."""
    stored = {spec.name: spec for spec in parts.rulebook.handlers()}
    return stored[name] if name in stored else find(parts, name)
