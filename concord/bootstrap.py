"""The composition root: the only place where a port meets its adapter.

Everything is made when first asked for, once per process: what a process does not use, it does not connect to.
Nor does it import the heavy libraries (Celery, boto3, IMAP, HTTP): a person who lists accounts waits for none of them.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from sqlalchemy import Engine

from concord import __version__, settings
from concord.adapters.archive_file import FileArchive
from concord.adapters.archive_guard import BUCKET_SECONDS, GuardedArchive
from concord.adapters.key_watch import KeyWatch
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.api_tokens import SqlApiTokens
from concord.adapters.sql.archive_registry import SqlArchiveRegistry
from concord.adapters.sql.audit import SqlAudit
from concord.adapters.sql.browsing import SqlLists
from concord.adapters.sql.clock import DatabaseClock, SqlHostClocks
from concord.adapters.sql.connections import SqlConnections
from concord.adapters.sql.engine import make_engine
from concord.adapters.sql.holdings import SqlClaims, SqlPolls, SqlSlots
from concord.adapters.sql.idempotency import SqlIdempotencyKeys
from concord.adapters.sql.key_ring import SqlKeyRing
from concord.adapters.sql.known_browsers import SqlKnownBrowsers
from concord.adapters.sql.leases import LeaseTerms
from concord.adapters.sql.ledger import SqlLedger
from concord.adapters.sql.losses import SqlLosses
from concord.adapters.sql.numbers import SqlNumbers
from concord.adapters.sql.oauth_clients import SqlOAuthClients
from concord.adapters.sql.oauth_grants import SqlOAuthGrants
from concord.adapters.sql.outbox import SqlOutbox
from concord.adapters.sql.rulebook import SqlRulebook
from concord.adapters.sql.sealed import verify_key
from concord.adapters.sql.tally import SqlTally
from concord.adapters.sql.throttles import SqlThrottle
from concord.adapters.sql.users import SqlUsers
from concord.adapters.sql.web_sessions import SqlSessions
from concord.adapters.sql.work import Spans
from concord.adapters.vault import FernetVault
from concord.adapters.worker_identity import current_worker, is_alive, is_pool_process
from concord.auditing import audited
from concord.errors import SecretMovedError
from concord.manager.config import poll_interval
from concord.manager.units import members
from concord.manager.worker_files import WorkerFiles
from concord.model.caller import Caller
from concord.model.worker import Incarnation, WorkerType
from concord.monitor.recorder import Recorder
from concord.pipeline.backfill import Backfiller
from concord.pipeline.dispatch import Dispatcher
from concord.pipeline.documents import Documents
from concord.pipeline.folder import PollPorts
from concord.pipeline.hands import LEASE as HANDS_LEASE
from concord.pipeline.poll import LEASE_MARGIN, Poller
from concord.pipeline.process import CLAIM_MARGIN, Processor
from concord.pipeline.reconcile import Reconciler
from concord.pipeline.release import release_dead, release_process
from concord.pipeline.replay import Replayer
from concord.pipeline.retry import LOSS
from concord.pipeline.schedule import sync
from concord.pipeline.serving import Serving
from concord.pipeline.sweep import Sweeper
from concord.pipeline.tokens import TokenKeeper
from concord.pipeline.workflow import WorkflowRunner
from concord.ports import Discoverer, Holdings, Supervisor, SyncStats, Vault
from concord.refusals import Refusals
from concord.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

    from concord.adapters.imap import ImapSources
    from concord.adapters.oauth import ProviderSignIns
    from concord.adapters.other_brokers import OtherBrokers
    from concord.adapters.passwords import Argon2
    from concord.adapters.pulse import RedisPulse
    from concord.adapters.queue import CeleryQueue
    from concord.adapters.redbeat import RedBeatSchedule
    from concord.handlers import Handlers, HandlerTools
    from concord.handlers.own_redis import OwnServer
    from concord.manager.control import Manager, ManagerPorts


T = TypeVar("T")

# How far the clocks of two hosts may be apart before one takes the other's lease for one from the future.
CLOCKS_APART: Final = timedelta(minutes=5)


def now() -> datetime:
    """The clock of this host: for what no other host judges."""
    return datetime.now(UTC)


class part(cached_property[T]):  # noqa: N801 - used as a decorator, named like one
    """Made once, by whichever thread asks first. functools had this lock itself until Python 3.12."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> part[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> part[T] | T:
        if not isinstance(instance, Concord):
            return self
        with instance.making:
            return super().__get__(instance, owner)


class Concord:
    """The parts of one process, joined."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid = os.getpid()
        self.making = RLock()

    # Adapters.

    @part
    def engine(self) -> Engine:
        return make_engine(self.settings.database)

    @part
    def clock(self) -> DatabaseClock:
        """The time by which everything is leased, due and claimed: the database's."""
        return DatabaseClock(self.engine, host=socket.gethostname())

    @part
    def host_clocks(self) -> SqlHostClocks:
        return SqlHostClocks(self.engine, self.clock)

    @part
    def vault(self) -> FernetVault:
        return FernetVault.from_settings(self.settings, self.key_ring.read, self._tell_of_moved_secret)

    def _tell_of_moved_secret(self, error: SecretMovedError) -> None:
        """Record a refused secret in the audit: somebody did it, it is no mere failure."""
        with (
            suppress(SecretMovedError),
            audited(
                self.audit, Caller(actor="concord", via="daemon"), "secrets.refused", str(error.facts.get("place", ""))
            ),
        ):
            raise error

    @part
    def key_ring(self) -> SqlKeyRing:
        return SqlKeyRing(self.engine, self.clock)

    def key_watch(self, daemon: str) -> KeyWatch:
        """Reports which keys this daemon, `poll@mail.example.com`, can open secrets with."""
        return KeyWatch(daemon, lambda: self.vault, self.key_ring, self.engine, self.clock)

    def sealing(self) -> Vault:
        """The vault, proven to be this database's: what a wrong key seals, nobody could open. Raises SecretKeyError."""
        verify_key(self.engine, self.vault)
        return self.vault

    @part
    def accounts(self) -> SqlAccounts:
        # As long as a poll or a slice of a backfill may hold it, and another's settings may differ.
        longest = timedelta(seconds=2 * self.settings.poll.budget) + LEASE_MARGIN
        return SqlAccounts(self.engine, self.clock, LeaseTerms(worker=current_worker, longest=longest))

    @part
    def ledger(self) -> SqlLedger:
        process = self.settings.process
        lease = timedelta(seconds=process.time_limit) + CLAIM_MARGIN
        spans = Spans(wait=timedelta(seconds=process.retry_max) + CLOCKS_APART, lease=lease + CLOCKS_APART)
        return SqlLedger(self.engine, self.clock, version=__version__, worker=current_worker, spans=spans)

    @part
    def outbox(self) -> SqlOutbox:
        wait = max(timedelta(seconds=self.settings.dispatch.retry_max), LOSS)
        spans = Spans(wait=wait + CLOCKS_APART, lease=HANDS_LEASE + CLOCKS_APART)
        return SqlOutbox(self.engine, self.clock, worker=current_worker, spans=spans)

    @part
    def holdings(self) -> tuple[Holdings, ...]:
        """What workers hold under their names: released when the same worker starts again."""
        return (SqlClaims(self.engine), SqlSlots(self.engine), SqlPolls(self.engine))

    @part
    def losses(self) -> SqlLosses:
        return SqlLosses(self.engine, now)

    @part
    def documents(self) -> Documents:
        return Documents(archive=self.archive, ledger=self.ledger, outbox=self.outbox, losses=self.losses)

    @part
    def lists(self) -> SqlLists:
        return SqlLists(self.engine)

    @part
    def rulebook(self) -> SqlRulebook:
        return SqlRulebook(self.engine)

    @part
    def audit(self) -> SqlAudit:
        return SqlAudit(self.engine)

    @part
    def users(self) -> SqlUsers:
        return SqlUsers(self.engine, self.clock)

    @part
    def sessions(self) -> SqlSessions:
        limits = self.settings.admin
        idle, absolute = timedelta(seconds=limits.session_idle), timedelta(seconds=limits.session_absolute)
        return SqlSessions(self.engine, self.clock, idle=idle, absolute=absolute)

    @part
    def api_tokens(self) -> SqlApiTokens:
        return SqlApiTokens(self.engine, self.clock)

    @part
    def throttle(self) -> SqlThrottle:
        return SqlThrottle(self.engine, self.clock)

    @part
    def refusals(self) -> Refusals:
        return Refusals(self.audit, self.clock)

    @part
    def known_browsers(self) -> SqlKnownBrowsers:
        return SqlKnownBrowsers(self.engine, self.clock)

    @part
    def idempotency(self) -> SqlIdempotencyKeys:
        return SqlIdempotencyKeys(self.engine, self.clock)

    @part
    def passwords(self) -> Argon2:
        from concord.adapters.passwords import Argon2

        return Argon2()

    @part
    def archive_registry(self) -> SqlArchiveRegistry:
        return SqlArchiveRegistry(self.engine)

    @part
    def archive(self) -> GuardedArchive:
        registry = self.archive_registry
        if self.settings.archive.kind == "s3":
            from concord.adapters.archive_s3 import S3Archive

            return GuardedArchive(S3Archive(self.settings.archive.s3), registry, fresh=BUCKET_SECONDS)
        return GuardedArchive(FileArchive(self.settings.archive.path), registry, fresh=0)

    @part
    def sources(self) -> ImapSources:
        from concord.adapters.imap import ImapSources
        from concord.adapters.imap.keys import Keys

        keys = Keys(self.vault, self.tokens)
        poll = self.settings.poll
        if is_pool_process():
            # Its next poll is of another account: what it kept, it would only keep from the other processes.
            poll = poll.model_copy(update={"keep_connections": 0})
        return ImapSources(poll, keys, SqlConnections(self.engine, self.clock, current_worker), self.clock)

    @part
    def oauth_clients(self) -> SqlOAuthClients:
        return SqlOAuthClients(self.engine, self.clock)

    @part
    def oauth_grants(self) -> SqlOAuthGrants:
        return SqlOAuthGrants(self.engine, self.clock)

    @part
    def sign_ins(self) -> ProviderSignIns:
        from concord.adapters.oauth import ProviderSignIns

        return ProviderSignIns(self.settings.oauth, self.clock)

    @part
    def tokens(self) -> TokenKeeper:
        return TokenKeeper(
            accounts=self.accounts,
            clients=self.oauth_clients,
            grants=self.oauth_grants,
            sign_ins=lambda: self.sign_ins,
            vault=self.vault,
            audit=lambda: self.audit,
            settings=self.settings.oauth,
            poll=self.settings.poll,
            clock=self.clock,
        )

    @part
    def discoverer(self) -> Discoverer:
        from concord.adapters.discovery import Autodiscovery

        return Autodiscovery(self.settings.discovery, self.settings.poll)

    @part
    def workers(self) -> WorkerFiles:
        return WorkerFiles(settings.workers_directory(), self.settings.worker)

    @part
    def celery(self) -> Celery:
        from concord.adapters.celery import make_app
        from concord.adapters.key_watch_step import connect_key_watch

        app = make_app(self.settings, release=self.release_dead, release_process=self.release_process)
        connect_key_watch(app, self.key_watch)
        return app

    def release_dead(self, worker: Incarnation) -> int:
        """Free what earlier lives of this worker's node hold."""
        return release_dead(self.holdings, worker, is_alive=is_alive)

    def release_process(self, process: Incarnation) -> int:
        """Free what a process of this worker's pool held that died alone."""
        return release_process(self.holdings, process)

    @part
    def queue(self) -> CeleryQueue:
        from concord.adapters.queue import CeleryQueue

        return CeleryQueue(self.celery, self.settings)

    @part
    def schedule(self) -> RedBeatSchedule:
        from concord.adapters.redbeat import RedBeatSchedule

        return RedBeatSchedule(self.celery)

    @part
    def pulse(self) -> RedisPulse:
        from concord.adapters.pulse import RedisPulse

        return RedisPulse(self.celery, self.settings.redis)

    @part
    def tools(self) -> HandlerTools:
        from concord.adapters.redis import connect
        from concord.handlers import HandlerTools
        from concord.handlers.own_redis import HomeGuard

        return HandlerTools(
            webhook=self.settings.webhook,
            redis=lambda: connect(self.settings.redis),
            send_task=self.queue.send_task,
            unseal=self.vault.unseal,
            memory=self.queue.memory,
            send_elsewhere=self.elsewhere.send,
            broker_bytes=self.settings.dispatch.broker_bytes,
            key_prefix=self.settings.redis.key_prefix,
            home=HomeGuard(self.settings.redis.key_prefix, self._own_server),
        )

    def _own_server(self) -> OwnServer | None:
        from concord.adapters.redis import connect, impatient, translated
        from concord.handlers.own_redis import server_of

        with translated(), connect(impatient(self.settings.redis)) as client:
            return server_of(client)

    @part
    def elsewhere(self) -> OtherBrokers:
        from concord.adapters.other_brokers import OtherBrokers

        return OtherBrokers(self.settings.webhook)

    @part
    def handlers(self) -> Handlers:
        from concord.handlers import Handlers

        return Handlers(self.tools)

    # Stages.

    @part
    def poll_ports(self) -> PollPorts:
        return PollPorts(
            accounts=self.accounts,
            ledger=self.ledger,
            archive=self.archive,
            losses=self.losses,
            queue=self.queue,
            rulebook=self.rulebook,
            settings=self.settings.poll,
            clock=self.clock,
        )

    @part
    def poller(self) -> Poller:
        return Poller(ports=self.poll_ports, sources=self.sources, interval=lambda: self.poll_interval)

    @part
    def backfiller(self) -> Backfiller:
        return Backfiller(ports=self.poll_ports, sources=self.sources)

    @part
    def processor(self) -> Processor:
        from billiard.exceptions import SoftTimeLimitExceeded

        return Processor(
            ledger=self.ledger,
            archive=self.archive,
            losses=self.losses,
            accounts=self.accounts,
            rulebook=self.rulebook,
            queue=self.queue,
            settings=self.settings.process,
            default_handlers=self.settings.dispatch.default_handlers,
            clock=self.clock,
            interrupts=(SoftTimeLimitExceeded,),
        )

    @part
    def serving(self) -> Serving:
        serving = Serving.make(self.outbox, self.queue, self.settings.dispatch, now, share=self._share())
        serving.hands.keep_renewing()
        return serving

    def give_back_claims(self) -> None:
        """The process ends, and threads with it that still deliver."""
        if "serving" in self.__dict__:
            self.serving.hands.give_back_all()

    def _share(self) -> int:
        """How many threads of a worker one handler may have: never more than half."""
        threads = [one.concurrency for one in self.workers.usable() if one.type is WorkerType.DELIVER]
        return max(1, min([self.settings.dispatch.handler_concurrency, *(count // 2 for count in threads)]))

    @part
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            outbox=self.outbox,
            documents=self.documents,
            rulebook=self.rulebook,
            serving=self.serving,
            handler=self.handlers.get,
            settings=self.settings.dispatch,
            clock=self.clock,
        )

    @part
    def workflows(self) -> WorkflowRunner:
        from concord.handlers import WorkflowSteps

        return WorkflowRunner(
            outbox=self.outbox,
            documents=self.documents,
            steps=WorkflowSteps(self.tools),
            serving=self.serving,
            settings=self.settings.dispatch,
            clock=self.clock,
        )

    @part
    def sweeper(self) -> Sweeper:
        return Sweeper(
            ledger=self.ledger,
            outbox=self.outbox,
            rulebook=self.rulebook,
            queue=self.queue,
            settings=self.settings.upkeep,
            version=__version__,
            clock=self.clock,
        )

    @part
    def reconciler(self) -> Reconciler:
        return Reconciler(
            accounts=self.accounts,
            ledger=self.ledger,
            sources=self.sources,
            queue=self.queue,
            poll=self.settings.poll,
            upkeep=self.settings.upkeep,
            clock=self.clock,
        )

    @part
    def numbers(self) -> SqlNumbers:
        return SqlNumbers(self.engine)

    @part
    def tally(self) -> SqlTally:
        return SqlTally(self.engine, self.clock)

    @part
    def recorder(self) -> Recorder:
        return Recorder(
            numbers=self.numbers,
            tally=self.tally,
            accounts=self.accounts,
            queue=self.queue,
            poll_interval=lambda: self.poll_interval,
            clock=self.clock,
        )

    @part
    def replayer(self) -> Replayer:
        return Replayer(
            ledger=self.ledger,
            outbox=self.outbox,
            archive=self.archive,
            accounts=self.accounts,
            rulebook=self.rulebook,
            queue=self.queue,
            default_handlers=self.settings.dispatch.default_handlers,
        )

    # The manager.

    @part
    def supervisor(self) -> Supervisor:
        from concord.adapters.supervisors import find_supervisor

        return find_supervisor(self.settings.service, lambda: members(self.workers.instances()))

    @part
    def manager_ports(self) -> ManagerPorts:
        from concord.manager.control import ManagerPorts

        return ManagerPorts(
            supervisor=lambda: self.supervisor,
            pulse=lambda: self.pulse,
            queue=lambda: self.queue,
            audit=lambda: self.audit,
            workers=self.workers,
            sync=self.sync,
            clock=self.clock,
        )

    @part
    def manager(self) -> Manager:
        from concord.manager.control import Manager

        return Manager(self.manager_ports, self.settings)

    def answer_canary(self, token: str, node: str) -> None:
        """A canary with a token ran here."""
        from concord.adapters.pulse import answer
        from concord.adapters.redis import connect, translated

        with translated(), connect(self.settings.redis) as client:
            answer(client, self.settings.redis.key_prefix, token, node)

    def sync(self) -> SyncStats:
        """Make the schedule equal to the accounts (P2)."""
        return sync(self.accounts, self.schedule, default_interval=self.poll_interval)

    @property
    def poll_interval(self) -> int:
        """Seconds between two polls of an account that has no interval of its own."""
        return poll_interval(self.workers.usable(), self.settings.poll.interval)


_here: Concord | None = None
_finding = Lock()


def concord() -> Concord:
    """The Concord of this process. A forked child gets its own: nothing with a socket is shared."""
    global _here  # noqa: PLW0603 - the one per-process object, by design
    with _finding:
        if _here is None or _here.pid != os.getpid():
            _here = Concord(settings.load())
        return _here
