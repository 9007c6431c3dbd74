"""A Concord that stops like a killed process at one boundary: before or after the n-th archive write, commit and so on.

The stages run one after the other in one process, against a real mail server, archive, database and receiver. Only the
queue is in memory: whoever dies loses it, as a flushed Redis would.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, event, update

from concord.adapters.imap.session import ImapSession
from concord.adapters.sql.outbox_tables import deliveries, workflow_runs
from concord.adapters.sql.tables import account_states, messages
from concord.bootstrap import Concord
from concord.model.message import MessageRef
from concord.model.rule import HandlerSpec
from concord.pipeline.poll import PollOutcome
from concord.ports import Archive, Blob, Handler, RedisMemory
from concord.settings import Settings

Kind = Literal["archive", "commit", "publish", "flag", "webhook"]
When = Literal["before", "after"]

STOPPED: Final = -signal.SIGKILL
# Mail becomes events in the first round, and is moved on the server in the second.
ROUNDS: Final = 2

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.boundaries"])


@dataclass
class Tripwire:
    """Kills the process at the `nth` boundary of a kind; 0 never does."""

    kind: Kind = "commit"
    when: When = "before"
    nth: int = 0
    seen: int = 0

    @contextmanager
    def around(self, kind: Kind) -> Iterator[None]:
        """One write to the outside world."""
        self._reach(kind, "before")
        yield
        self._reach(kind, "after")

    def _reach(self, kind: Kind, when: When) -> None:
        if (kind, when) == (self.kind, self.when):
            self.seen += 1
            if self.seen == self.nth:
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class MemoryQueue:
    """Keeps what `ports.Queue` is given, to be carried out in the order it came."""

    wire: Tripwire
    work: deque[tuple[str, int]] = field(default_factory=deque)

    def poll(self, account_id: int, *, forced: bool = False) -> None:
        del account_id, forced

    def backfill(self, account_id: int) -> None:
        self._publish("backfill", [account_id])

    def reconcile(self, account_id: int) -> None:
        del account_id

    def process(self, refs: Iterable[MessageRef]) -> None:
        self._publish("process", [ref.id for ref in refs])

    def deliver(self, refs: Iterable[Any]) -> None:
        self._publish("deliver", [getattr(ref, "id", ref) for ref in refs])

    def advance(self, refs: Iterable[Any]) -> None:
        self._publish("advance", [getattr(ref, "id", ref) for ref in refs])

    def depth(self) -> dict[str, int]:
        return {"email-poll": 0, "email": 0, "email-deliver": 0, "unacked": 0}

    def memory(self) -> RedisMemory:
        return RedisMemory(used=0, limit=0)

    def take(self, most: int) -> tuple[str, list[int]]:
        """What goes next, and what follows it of the same kind."""
        kind, first = self.work.popleft()
        ids = [first]
        while len(ids) < most and self.work and self.work[0][0] == kind:
            ids.append(self.work.popleft()[1])
        return kind, ids

    def _publish(self, kind: str, ids: list[int]) -> None:
        if ids:
            with self.wire.around("publish"):
                self.work.extend((kind, one) for one in ids)


class _WatchedArchive:
    def __init__(self, archive: Archive, wire: Tripwire) -> None:
        self._archive, self._wire = archive, wire

    def put(self, blobs: Iterable[Blob]) -> None:
        with self._wire.around("archive"):
            self._archive.put(list(blobs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)


@dataclass(frozen=True)
class _WatchedHandler:
    handler: Handler
    wire: Tripwire

    def deliver(self, consignment: Any) -> Mapping[str, object]:
        with self.wire.around("webhook"):
            return self.handler.deliver(consignment)


@dataclass(frozen=True)
class _WatchedHandlers:
    handlers: Any
    wire: Tripwire

    def get(self, spec: HandlerSpec) -> Any:
        return _WatchedHandler(self.handlers.get(spec), self.wire)


def watched(settings: Settings, wire: Tripwire) -> tuple[Concord, MemoryQueue]:
    """A Concord whose writes pass the wire."""
    concord = Concord(settings)
    queue = MemoryQueue(wire)
    parts = vars(concord)
    parts["archive"] = _WatchedArchive(concord.archive, wire)
    # First the handlers: their kind `celery` sends by the real queue, which nobody uses here.
    parts["handlers"] = _WatchedHandlers(concord.handlers, wire)
    parts["queue"] = queue
    _watch_commits(concord.engine, wire)
    return concord, queue


def _watch_commits(engine: Engine, wire: Tripwire) -> None:
    commit = engine.dialect.do_commit
    writes: list[bool] = []

    def note(connection: Connection) -> None:
        writes[:] = [not connection.get_execution_options().get("concord_reads", False)]

    def watched_commit(connection: Any) -> None:
        with wire.around("commit") if writes.pop() else nullcontext():
            commit(connection)

    event.listen(engine, "commit", note)

    engine.dialect.do_commit = watched_commit  # type: ignore[assignment,method-assign]  # a dialect belongs to one engine


def _watch_flags(wire: Tripwire) -> None:
    for name in ("mark", "move", "delete"):
        act = getattr(ImapSession, name)

        def watched_act(session: ImapSession, *arguments: Any, _act: Any = act, **named: Any) -> Any:
            with wire.around("flag"):
                return _act(session, *arguments, **named)

        setattr(ImapSession, name, watched_act)


def carry_on(concord: Concord, queue: MemoryQueue, rounds: int = ROUNDS, *, at_once: int = 1) -> None:
    """Poll, sweep and work, over and over, as Beat and the workers do; so much of one kind `at_once`."""
    for _ in range(rounds):
        for account in concord.accounts.all():
            concord.poller.poll(account.id, forced=True)
        concord.sweeper.sweep()
        while queue.work:
            kind, ids = queue.take(at_once)
            match kind:
                case "backfill":
                    for one in ids:
                        if concord.backfiller.backfill(one).outcome is PollOutcome.PARTIAL:
                            queue.backfill(one)
                case "process":
                    concord.processor.process(ids)
                case "deliver":
                    concord.dispatcher.deliver(ids)
                case _:
                    concord.workflows.advance(ids)
    concord.sources.close()


def run_until(settings: Settings, kind: Kind, when: When, nth: int, *, at_once: int = 1) -> None:
    """In a process of its own: carry on, and stop at that boundary; exit status 0 where it was never reached."""
    wire = Tripwire(kind, when, nth)
    _watch_flags(wire)
    carry_on(*watched(settings, wire), at_once=at_once)


def let_time_pass(engine: Engine) -> None:
    """Every lease of the dead lapses, and what Redis forgot was queued long ago."""
    with engine.begin() as connection:
        connection.execute(update(account_states).values(leased_until=None))
        for table, past in ((messages, "seen_at"), (deliveries, "created_at"), (workflow_runs, "created_at")):
            connection.execute(update(table).values(queued_at=None))
            held = table.c.leased_until.is_not(None)
            connection.execute(update(table).where(held).values(leased_until=table.c[past]))
