"""A whole Concord in memory, with a clock that stands still until told: for tests of the pipeline's stages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from concord import __version__
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.ledger import SqlLedger
from concord.adapters.sql.losses import SqlLosses
from concord.adapters.sql.outbox import SqlOutbox
from concord.adapters.sql.rulebook import SqlRulebook
from concord.model.account import Account, StartKind, StartPoint
from concord.model.message import Message, MessageState
from concord.model.rule import HandlerSpec
from concord.pipeline.backfill import Backfiller
from concord.pipeline.dispatch import Dispatcher
from concord.pipeline.documents import Documents
from concord.pipeline.folder import PollPorts
from concord.pipeline.poll import Poller, PollReport
from concord.pipeline.process import Processor, WorkerLostError
from concord.pipeline.reconcile import Reconciler
from concord.pipeline.replay import Replayer
from concord.pipeline.serving import Serving
from concord.pipeline.sweep import Sweeper
from concord.pipeline.workflow import WorkflowRunner
from concord.ports import Handler, MessageFilter, StepHandler
from concord.settings import DispatchSettings, PollSettings, ProcessSettings, UpkeepSettings
from tests.fakes.archive import MemoryArchive
from tests.fakes.database import memory_database
from tests.fakes.handlers import MemoryHandler
from tests.fakes.mailbox import MemoryMailbox, MemoryMailboxes
from tests.fakes.queue import MemoryQueue
from tests.polling import poll_whole

USER = "bob"


class World:
    """One account on one mailbox, every stage, and a handler named `inbox` that takes every event."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.engine = memory_database()
        self.accounts = SqlAccounts(self.engine, self.clock)
        self.ledger = SqlLedger(self.engine, self.clock, version=__version__)
        self.outbox = SqlOutbox(self.engine, self.clock)
        self.losses = SqlLosses(self.engine, self.clock)
        self.rulebook = SqlRulebook(self.engine)
        self.archive = MemoryArchive()
        self.queue = MemoryQueue()
        self.mailboxes = MemoryMailboxes(self.clock)
        self.mailboxes.add_user(USER)
        self.handlers: dict[str, Handler] = {"inbox": MemoryHandler()}
        self.steps: dict[str, StepHandler] = {}
        self.rulebook.save_handler(HandlerSpec(name="inbox", kind="inbox"))
        self.dispatch_settings = DispatchSettings(max_attempts=4)
        self.serving = self.make_serving()
        self.poll_settings = PollSettings(interval=60, budget=50)
        self.account = self.add_account("bob", start=StartPoint(kind=StartKind.ALL))

    # Time.

    def clock(self) -> datetime:
        return self.time

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.time += timedelta(**span)

    def make_serving(self, *, share: int = 8) -> Serving:
        """What a new process has: it knows nothing of what others have claimed."""
        return Serving.make(self.outbox, self.queue, self.dispatch_settings, self.clock, share=share)

    # The mailbox.

    @property
    def mailbox(self) -> MemoryMailbox:
        return self.mailboxes.mailboxes[USER]

    def deliver(self, raw: bytes, folder: str = "INBOX", *, age: timedelta = timedelta()) -> int:
        """Put a mail into a folder; the server got it `age` ago."""
        return self.mailboxes.deliver(USER, raw, folder, internal_date=self.time - age)

    def add_account(self, name: str, **fields: Any) -> Account:
        return self.accounts.add(Account(name=name, host="mail.example.com", user=USER, **fields))

    def change_account(self, **fields: Any) -> None:
        self.account = self.accounts.save(replace(self.accounts.get(self.account.id), **fields))

    # The stages.

    @property
    def poller(self) -> Poller:
        return Poller(ports=self.poll_ports, sources=self.mailboxes)

    @property
    def backfiller(self) -> Backfiller:
        return Backfiller(ports=self.poll_ports, sources=self.mailboxes)

    @property
    def poll_ports(self) -> PollPorts:
        return PollPorts(
            accounts=self.accounts,
            ledger=self.ledger,
            archive=self.archive,
            losses=self.losses,
            queue=self.queue,
            rulebook=self.rulebook,
            settings=self.poll_settings,
            clock=self.clock,
        )

    @property
    def processor(self) -> Processor:
        return Processor(
            ledger=self.ledger,
            archive=self.archive,
            losses=self.losses,
            accounts=self.accounts,
            rulebook=self.rulebook,
            queue=self.queue,
            settings=ProcessSettings(max_attempts=3),
            default_handlers=("inbox",),
            clock=self.clock,
        )

    @property
    def documents(self) -> Documents:
        return Documents(archive=self.archive, ledger=self.ledger, outbox=self.outbox, losses=self.losses)

    @property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            outbox=self.outbox,
            documents=self.documents,
            rulebook=self.rulebook,
            serving=self.serving,
            handler=lambda spec: self.handlers[spec.kind],
            settings=self.dispatch_settings,
            clock=self.clock,
        )

    @property
    def workflows(self) -> WorkflowRunner:
        return WorkflowRunner(
            outbox=self.outbox,
            documents=self.documents,
            steps=_Steps(self.steps),
            serving=self.serving,
            settings=self.dispatch_settings,
            clock=self.clock,
        )

    @property
    def sweeper(self) -> Sweeper:
        return Sweeper(
            ledger=self.ledger,
            outbox=self.outbox,
            rulebook=self.rulebook,
            queue=self.queue,
            settings=UpkeepSettings(),
            version=__version__,
            clock=self.clock,
        )

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            accounts=self.accounts,
            ledger=self.ledger,
            sources=self.mailboxes,
            queue=self.queue,
            poll=self.poll_settings,
            upkeep=UpkeepSettings(),
            clock=self.clock,
        )

    @property
    def replayer(self) -> Replayer:
        return Replayer(
            ledger=self.ledger,
            outbox=self.outbox,
            archive=self.archive,
            accounts=self.accounts,
            rulebook=self.rulebook,
            queue=self.queue,
            default_handlers=("inbox",),
        )

    # Shorthands.

    def poll(self, **options: bool) -> PollReport:
        """A poll, and the slice of backfill that it queued."""
        return poll_whole(self, self.account.id, **options)

    def process(self) -> int:
        """Process what is queued, as a worker would."""
        ids = [ref.id for ref in self.queue.messages]
        self.queue.messages.clear()
        return self.processor.process(ids)

    def dispatch(self) -> int:
        """Deliver what is queued, as a worker would."""
        ids, self.queue.deliveries = self.queue.deliveries, []
        return self.dispatcher.deliver(ids)

    def quarantine(self) -> Message:
        """Set aside what is queued, as after too many failures."""
        [ref], self.queue.messages = self.queue.messages, []
        [claim] = self.ledger.claim([ref.id], until=self.time + timedelta(minutes=5))
        self.ledger.quarantine(claim, WorkerLostError())
        return self.ledger.get(ref.id)

    def messages(self, state: MessageState | None = None) -> list[Message]:
        """The ledger, oldest first."""
        return self.ledger.search(MessageFilter(state=state, limit=1000))[::-1]

    def subjects(self) -> list[str | None]:
        return [message.subject for message in self.messages()]


class _Steps:
    def __init__(self, known: dict[str, StepHandler]) -> None:
        self._known = known

    def get(self, kind: str) -> StepHandler:
        return self._known[kind]
