"""Passwords of people: argon2id (RFC 9106: three passes over 64 MiB), never kept in clear."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, Semaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from concord.errors import PasswordsBusyError
from concord.model.throttle import Lane

# Each takes 64 MiB and some 100 ms of a processor. One processor is left to the pages.
_AT_ONCE: Final = max(1, min(2, (os.cpu_count() or 2) - 1))
# Argon2's own threads would take all processors at once, and the pages would wait.
_THREADS: Final = 1
# Each that waits holds one of the service's forty threads.
_WAITING: Final = {Lane.KNOWN: 6, Lane.FIRST: 6, Lane.AGAIN: 3}
_BUSY_SECONDS: Final = 2
# How many threads wait or hash at most, in all queues.
MOST_HELD: Final = sum(_WAITING.values()) + 1 + 2 * _AT_ONCE


@dataclass(frozen=True, slots=True)
class _Queue:
    """So many wait for a turn; all others are turned away."""

    turns: Semaphore
    places: Semaphore


@dataclass(frozen=True, slots=True)
class Place:
    """Whoever holds it may have a password checked."""

    _matches: Callable[[str | None, str], bool]
    turn: Semaphore

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the one. Without `kept` (no such user) it takes as long, and the answer is no."""
        with self.turn:
            return self._matches(kept, password)


class Argon2:
    """Makes and checks hashes; safe for many threads, of which it never holds many."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(parallelism=_THREADS)
        known, strangers = Semaphore(1), Semaphore(_AT_ONCE)
        turns = {Lane.KNOWN: (known, 1), Lane.FIRST: (strangers, _AT_ONCE), Lane.AGAIN: (strangers, _AT_ONCE)}
        self._queues = {
            lane: _Queue(turn, Semaphore(at_once + _WAITING[lane])) for lane, (turn, at_once) in turns.items()
        }
        self._nobodys: str | None = None
        self._making_nobodys = Lock()

    def hash(self, password: str) -> str:
        """What is kept of it, in argon2's own notation. Raises PasswordsBusyError."""
        with self.place(Lane.KNOWN) as place, place.turn:
            return self._hasher.hash(password)

    @contextmanager
    def place(self, lane: Lane) -> Iterator[Place]:
        """Hold a place in a queue, so that what costs more comes only after it. Raises PasswordsBusyError."""
        queue = self._queues[lane]
        if not queue.places.acquire(blocking=False):
            raise PasswordsBusyError(seconds=_BUSY_SECONDS)
        try:
            yield Place(self._matches, queue.turns)
        finally:
            queue.places.release()

    def verify(self, kept: str | None, password: str, *, lane: Lane = Lane.AGAIN) -> bool:
        """Whether it is the one, as soon as it is its turn. Raises PasswordsBusyError where the lane is full."""
        with self.place(lane) as place:
            return place.verify(kept, password)

    def _matches(self, kept: str | None, password: str) -> bool:
        try:
            self._hasher.verify(kept or self._nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def _nobody(self) -> str:
        with self._making_nobodys:
            self._nobodys = self._nobodys or self._hasher.hash(secrets.token_urlsafe())
        return self._nobodys
