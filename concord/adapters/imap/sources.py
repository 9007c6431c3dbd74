"""Opening sessions: a kept connection if there is a good one, a new one inside the budget if not (A6)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog

from concord.adapters.imap.check import steps
from concord.adapters.imap.errors import RAISED, facts_of, lost
from concord.adapters.imap.keys import Keys
from concord.adapters.imap.login import log_in
from concord.adapters.imap.naming import introduce
from concord.adapters.imap.pace import Pace
from concord.adapters.imap.pool import Line, Pool
from concord.adapters.imap.session import ImapSession
from concord.adapters.imap.slots import RENEW_SECONDS, Slots
from concord.adapters.imap.spool import Spool
from concord.adapters.imap.watchdog import Guard, Watchdog
from concord.adapters.imap.wire import Client, connect, hang_up
from concord.errors import ConcordError, MailboxBudgetError, MailboxDeniedError, MailboxError, PollBudgetError
from concord.model.account import Account
from concord.model.provider import provider_of
from concord.ports import CheckStep, Clock, Connections
from concord.settings import PollSettings

log = structlog.get_logger(__name__)

# How long to wait for a slot that another process's idle connection fills: it looks every few seconds.
ANOTHERS_IDLE: Final = timedelta(seconds=2 * RENEW_SECONDS + 2)
ASK_SECONDS: Final = 0.5


class ImapSources:
    """Keeps `ports.MailSources`; one for a process, used by all its threads."""

    def __init__(self, settings: PollSettings, keys: Keys, connections: Connections, clock: Clock) -> None:
        self._settings = settings
        self._keys = keys
        self._connections = connections
        self._clock = clock
        self._pool = Pool(most=settings.keep_connections, seconds=settings.keep_seconds)
        self._spool = Spool(settings.spool_directory, most=settings.spool_max_bytes)
        self._paces: dict[int, Pace] = {}  # of slow accounts only
        self._slots = Slots(connections, clock, idle=self._pool.slots, give_up=self._give_up)
        self._watchdog = Watchdog()
        self._pid = os.getpid()

    @contextmanager
    def open(self, account: Account, *, deadline: datetime) -> Iterator[ImapSession]:
        """A session for one poll. After `deadline` its calls raise PollBudgetError, the one in progress included."""
        left = (deadline - self._clock()).total_seconds()
        if left <= 0:
            raise PollBudgetError(**facts_of(account))
        guard = self._own_watchdog().guard(left)
        try:
            session = self._session(account, deadline, guard)
            try:
                yield session
            except MailboxError:
                self._keep(session, guard)
                raise
            except BaseException:
                self._close([session.line])
                raise
            finally:
                self._remember(account, session.pace)
            self._keep(session, guard)
        finally:
            guard.end()

    def test(self, account: Account) -> Iterator[CheckStep]:
        """Go step by step and say what each found; stops after the first failure."""
        guard = self._own_watchdog().guard(self._settings.budget)
        try:
            yield from steps(account, settings=self._settings, keys=self._keys, guard=guard)
        finally:
            guard.end()

    def close(self) -> None:
        """Log out of everything kept."""
        self._close(self._pool.empty(), politely=True)

    def _session(self, account: Account, deadline: datetime, guard: Guard) -> ImapSession:
        kept, stale = self._pool.take(account)
        self._close(stale)
        line = kept or self._new_line(account, deadline, guard)
        if kept:
            self._watch(kept, guard)

        def renew() -> Line:
            log.info("mailbox.lost", account=account.name, host=account.host)
            self._close([line])
            return self._new_line(account, deadline, guard)

        return ImapSession(
            line,
            settings=self._settings,
            clock=self._clock,
            deadline=deadline,
            guard=guard,
            spool=self._spool,
            pace=self._paces.get(account.id) or Pace(self._settings.budget),
            renew=renew if kept else None,
        )

    def _remember(self, account: Account, pace: Pace) -> None:
        if pace.is_slow:
            self._paces[account.id] = pace
        else:
            self._paces.pop(account.id, None)

    def _watch(self, kept: Line, guard: Guard) -> None:
        try:
            guard.watch(kept.client.wire.sock)
        except BaseException:
            self._close([kept])
            raise

    def _new_line(self, account: Account, deadline: datetime, guard: Guard) -> Line:
        slot = self._slot(account, deadline)
        try:
            return self._connected(account, slot, guard)
        except MailboxError as error:
            self._slots.release(slot)
            if guard.expired:
                raise PollBudgetError(**facts_of(account)) from error
            raise
        except BaseException:
            self._slots.release(slot)
            raise

    def _connected(self, account: Account, slot: int, guard: Guard) -> Line:
        secret = self._keys.secret(account)
        try:
            client, capabilities = self._entered(account, secret, guard)
        except MailboxDeniedError as error:
            secret = self._keys.another(account, secret, error)
            # On a connection of its own: some servers hang up after a NO.
            client, capabilities = self._entered(account, secret, guard)
        log.debug("mailbox.connected", account=account.name, host=account.host)
        interval = float(account.interval or self._settings.interval)
        return Line(account=account, client=client, slot=slot, capabilities=capabilities, interval=interval)

    def _entered(self, account: Account, secret: str, guard: Guard) -> tuple[Client, frozenset[bytes]]:
        client = connect(account, self._settings, guard)
        try:
            log_in(account, client, secret)
            introduce(account, client)
            return client, frozenset(client.capabilities())
        except RAISED as error:
            hang_up(client)
            raise lost(error, facts_of(account)) from error
        except ConcordError:
            hang_up(client)
            raise

    def _slot(self, account: Account, deadline: datetime) -> int:
        """A place in the budget, if need be that of a connection kept for later, here or in another process."""
        patience = min(self._clock() + ANOTHERS_IDLE, deadline)
        slot = self._acquired(account)
        while slot is None:
            spare = self._pool.spare(account)
            if spare is not None:
                self._close([spare], politely=True)
            elif self._clock() < patience and self._ask(account):
                time.sleep(ASK_SECONDS)
            else:
                raise MailboxBudgetError(
                    per_login=self._per_login(account),
                    per_host=self._settings.connections_per_host,
                    **facts_of(account),
                )
            slot = self._acquired(account)
        return slot

    def _ask(self, account: Account) -> bool:
        return self._connections.ask(account.host.lower(), account.user, per_login=self._per_login(account))

    def _per_login(self, account: Account) -> int:
        """As configured, and never more than the provider is known to allow (A6)."""
        most = self._settings.connections_per_login
        return min(most, provider_of(account.host).connections or most)

    def _acquired(self, account: Account) -> int | None:
        return self._slots.acquire(
            account.host.lower(),
            account.user,
            per_login=self._per_login(account),
            per_host=self._settings.connections_per_host,
        )

    def _keep(self, session: ImapSession, guard: Guard) -> None:
        """Keep the connection for the next poll, unless something is wrong with it."""
        if not session.is_broken:
            with contextlib.suppress(MailboxError):
                session.leave()
        # Before anybody else can have the connection: this guard must not cut the next poll's.
        guard.end()
        whole = not session.is_broken and not guard.expired and session.line.selected is None
        whole = whole and not self._slots.is_lost(session.line.slot)
        if not whole:
            self._close([session.line])
            return
        self._close(self._pool.give(session.line))
        if not session.line.is_closed:
            self._slots.rest(session.line.slot)

    def _close(self, lines: list[Line], *, politely: bool = False) -> None:
        for line in lines:
            if line.is_closed:
                continue
            line.is_closed = True
            hang_up(line.client, politely=politely)
            self._slots.release(line.slot)

    def _give_up(self, slots: Collection[int]) -> None:
        self._close(self._pool.give_up(slots), politely=True)

    def _own_watchdog(self) -> Watchdog:
        # Threads do not survive a fork.
        if self._pid != os.getpid():
            self._watchdog, self._pid = Watchdog(), os.getpid()
        return self._watchdog
