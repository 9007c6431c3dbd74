"""Passwords of people: argon2id (RFC 9106, section 4: the second recommended option, 64 MiB), never kept in clear."""

from __future__ import annotations

import secrets
from threading import Semaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# Each takes 64 MiB and some 50 ms of a processor: a crowd of guessers waits its turn and does not exhaust the machine.
_AT_ONCE: Final = 2


class Argon2:
    """Makes and checks hashes; safe for many threads."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = Semaphore(_AT_ONCE)
        self._nobodys: str | None = None

    def hash(self, password: str) -> str:
        """What is kept of it, in argon2's own notation."""
        with self._turns:
            return self._hasher.hash(password)

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the one. Without `kept` (no such user) it takes as long, and the answer is no."""
        if kept is None:
            self._nobodys = self._nobodys or self.hash(secrets.token_urlsafe())
        with self._turns:
            try:
                self._hasher.verify(kept or self._nobodys or "", password)
            except (VerificationError, InvalidHashError):
                return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(kept)
