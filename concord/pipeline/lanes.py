"""What waits in this process to be delivered: a lane for each handler and workflow, with a share of the threads.

Redis hands out tasks in the order in which they came. Here they are put in the order in which they should go: by
priority, and within one priority each account in turn. A handler that is slow fills its own lane only; its deliveries
wait here, in memory, without a thread and without a row in anybody's hands. What is lost with the process is a hint:
the sweep finds it again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

from concord.model.account import Priority
from concord.model.delivery import OutboxRef

# Hints kept for each lane. What is beyond them waits in the database alone, until the sweep queues it again.
MOST: Final = 5000


class Lanes:
    """The lanes of one process. `limit` is how many threads may serve one lane at a time."""

    def __init__(self, limit: int, *, most: int = MOST) -> None:
        self._limit = limit
        self._most = most
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()

    def add(self, refs: Iterable[OutboxRef]) -> None:
        """Have these wait, unless they do already."""
        with self._lock:
            for ref in refs:
                lane = self._lanes.setdefault(ref.lane, _Lane())
                if len(lane.known) < self._most or ref.priority is Priority.HIGH:
                    lane.add(ref)

    def enter(self, name: str) -> bool:
        """Take a place among those that serve a lane; False where all are taken, or nothing waits."""
        with self._lock:
            lane = self._lanes.get(name)
            if lane is None or lane.serving >= self._limit or not lane.known:
                return False
            lane.serving += 1
            return True

    def is_full(self, name: str) -> bool:
        """Whether all places at a lane are taken."""
        with self._lock:
            lane = self._lanes.get(name)
            return lane is not None and lane.serving >= self._limit

    def take(self, name: str, most: int) -> list[OutboxRef]:
        """Take what goes next, a suspect one alone. Where nothing waits the place is given up, too."""
        with self._lock:
            refs = self._lanes[name].take(most)
            if not refs:
                self._leave(name)
            return refs

    def leave(self, name: str) -> bool:
        """Give up the place; whether something still waits."""
        with self._lock:
            waits = bool(self._lanes[name].known)
            self._leave(name)
            return waits

    def peek(self, name: str, most: int) -> list[OutboxRef]:
        """What goes next, left where it is."""
        with self._lock:
            lane = self._lanes.get(name)
            return lane.first(most) if lane else []

    def _leave(self, name: str) -> None:
        lane = self._lanes[name]
        lane.serving -= 1
        if not lane.serving and not lane.known:
            del self._lanes[name]  # handlers come and go


class _Lane:
    def __init__(self) -> None:
        self.serving = 0
        self.known: set[int] = set()
        self._waiting: dict[Priority, dict[str, deque[OutboxRef]]] = {priority: {} for priority in Priority}

    def add(self, ref: OutboxRef) -> None:
        if ref.id not in self.known:
            self.known.add(ref.id)
            self._waiting[ref.priority].setdefault(ref.account, deque()).append(ref)

    def take(self, most: int) -> list[OutboxRef]:
        taken: list[OutboxRef] = []
        for accounts in self._waiting.values():
            while accounts and len(taken) < most:
                account = next(iter(accounts))
                if accounts[account][0].suspect and taken:
                    return taken
                taken.append(self._take_one(accounts, account))
                if taken[-1].suspect:
                    return taken
        return taken

    def _take_one(self, accounts: dict[str, deque[OutboxRef]], account: str) -> OutboxRef:
        waiting = accounts.pop(account)
        ref = waiting.popleft()
        self.known.discard(ref.id)
        if waiting:
            accounts[account] = waiting  # at the end: the others' turn
        return ref

    def first(self, most: int) -> list[OutboxRef]:
        """The first of each account, the urgent before the others."""
        found = [waiting[0] for accounts in self._waiting.values() for waiting in accounts.values()]
        return found[:most]
