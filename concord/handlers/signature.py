"""Signing what is sent to a receiver, so that it can tell Concord from anybody else (Standard Webhooks 1.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

from concord.errors import UsageError

PREFIX: Final = "whsec_"
# The specification asks for 24 to 64 random octets.
SHORTEST, LONGEST = 24, 64
_RANDOM: Final = 32
# Two are enough to change from one to the next; more would only make headers longer.
MOST_KEYS: Final = 5
_SENTENCES: Final = {
    "empty": "it is empty",
    "many": "it is more than 5 secrets",
    "base64": "after 'whsec_' it is not base64",
    "length": "it does not have 24 to 64 octets",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs with every key, so that a receiver may change from one to the next at its leisure."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def parse(cls, written: str) -> Self:
        """Read secrets as they are written, `whsec_` and base64, separated by spaces. Raises UsageError."""
        words = written.split()
        if not words:
            raise _malformed("empty")
        if len(words) > MOST_KEYS:
            raise _malformed("many")
        return cls(keys=tuple(_key(word) for word in words))

    def headers(self, key: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of a message named `key`; `timestamp` in seconds since 1970."""
        content = f"{key}.{timestamp}.".encode() + body
        digests = (hmac.digest(secret, content, hashlib.sha256) for secret in self.keys)
        signature = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
        return identify(key, timestamp) | {"webhook-signature": signature}


def new_secret() -> str:
    """A secret that nobody can guess, as receivers want it written."""
    return f"{PREFIX}{base64.b64encode(secrets.token_bytes(_RANDOM)).decode()}"


def identify(key: str, timestamp: int) -> dict[str, str]:
    """The headers that an unsigned message has too."""
    return {"webhook-id": key, "webhook-timestamp": str(timestamp)}


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise _malformed("length")
    return key


def _malformed(wrong: str) -> UsageError:
    return UsageError("webhook_secret", cause=_SENTENCES[wrong])
