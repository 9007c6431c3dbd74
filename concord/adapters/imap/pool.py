"""Connections kept between polls: one an account, not too many, not too long, never an old login, never over a fork."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from concord.adapters.imap.wire import Client
from concord.model.account import Account

Key = tuple[object, ...]


def key_of(account: Account) -> Key:
    """Whatever a login depends on. The secret is ciphertext here."""
    return (
        account.id,
        account.host,
        account.port,
        account.user,
        account.auth,
        account.secret,
        account.tls,
        account.ca_file,
        account.ca_pem,
    )


@dataclass(kw_only=True)
class Line:
    """One logged-in connection, and the budget slot it fills."""

    account: Account
    client: Client
    slot: int
    capabilities: frozenset[bytes]
    selected: str | None = None
    is_closed: bool = False
    idle_since: float = field(default_factory=time.monotonic)
    interval: float = 60.0  # seconds between two polls of its account

    @property
    def key(self) -> Key:
        return key_of(self.account)

    def is_quiet(self) -> bool:
        """Whether the server has left the idle connection alone. What it says unasked is goodbye, or the end."""
        if "BYE" in self.client.wire.untagged_responses:
            return False
        poll = select.poll()
        poll.register(self.client.wire.sock, select.POLLIN)
        return not poll.poll(0)


class Pool:
    """Idle lines by account, the longest idle first.

    Where there are more mailboxes than lines may be kept, the line that is needed last gives way: one that was used
    just now. Polls come round in turn, so the longest idle is the very one that is needed next.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._lines: dict[int, Line] = {}
        self._pid = os.getpid()

    def take(self, account: Account) -> tuple[Line | None, list[Line]]:
        """The account's line, if there is one as good as new; and lines that must be closed."""
        with self._lock:
            self._mind_forks()
            stale = self._overdue()
            line = self._lines.pop(account.id, None)
        if line is None or (line.key == key_of(account) and line.is_quiet()):
            return line, stale
        return None, [*stale, line]

    def give(self, line: Line) -> list[Line]:
        """Keep a line; those that must be closed for it, itself perhaps."""
        line.idle_since = time.monotonic()
        with self._lock:
            self._mind_forks()
            stale = self._overdue()
            if former := self._lines.pop(line.account.id, None):
                stale.append(former)
            self._lines[line.account.id] = line
            while len(self._lines) > self._most:
                stale.append(self._lines.pop(max(self._lines.values(), key=_needed_at).account.id))
        return stale

    def spare(self, account: Account) -> Line | None:
        """An idle line whose slot would help this account: of the same login, or else of the same host."""
        with self._lock:
            self._mind_forks()
            near = [line for line in self._lines.values() if line.account.host == account.host]
            near.sort(key=lambda line: (line.account.user != account.user, -_needed_at(line)))
            return self._lines.pop(near[0].account.id) if near else None

    def slots(self) -> set[int]:
        """The budget slots of the idle lines."""
        with self._lock:
            return {line.slot for line in self._lines.values()}

    def give_up(self, slots: Collection[int]) -> list[Line]:
        """The idle lines of these slots, which are no longer kept."""
        with self._lock:
            self._mind_forks()
            return [self._lines.pop(name) for name, line in list(self._lines.items()) if line.slot in slots]

    def empty(self) -> list[Line]:
        """All of them, which are no longer kept."""
        with self._lock:
            self._mind_forks()
            lines = list(self._lines.values())
            self._lines.clear()
        return lines

    def _overdue(self) -> list[Line]:
        since = time.monotonic() - self._seconds
        return [self._lines.pop(name) for name, line in list(self._lines.items()) if line.idle_since < since]

    def _mind_forks(self) -> None:
        """What a parent process opened is the parent's: let go of it without a word to the server."""
        if self._pid == os.getpid():
            return
        for line in self._lines.values():
            line.client.wire.sock.close()
        self._lines.clear()
        self._pid = os.getpid()


def _needed_at(line: Line) -> float:
    """When its account's next poll comes."""
    return line.idle_since + line.interval
