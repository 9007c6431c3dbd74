"""One clock for the whole cluster: the database's. A host's own clock decides nothing that another host judges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Engine, delete, func, select

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.tables import host_clocks
from concord.adapters.sql.upsert import insert_for
from concord.errors import InfrastructureError
from concord.model.clock import HostClock

log = structlog.get_logger(__name__)

REMEDY: Final = "Concord goes by the database's clock and loses nothing. Set this host's clock, and run a time service"
MEASURE_EVERY: Final = 60.0
RETRY_EVERY: Final = 5.0
# So long the first question for the time waits for the database.
FIRST_SECONDS: Final = 5.0
# A clock is worth a word from here on. Leases last longer, and time servers keep closer.
SKEW: Final = timedelta(seconds=5)
# A host says again and again that it is skewed; one that stopped saying so is skewed no more, or gone.
RECENT: Final = timedelta(minutes=10)


def _uptime() -> float:
    """Seconds that no one can set; unlike time.monotonic it goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class DatabaseClock:
    """The database's time, advanced by this machine's monotonic clock and measured again every minute.

    Asking it never waits, but for the first measurement. Where the database does not answer, it goes on from the last
    measurement; before the first one it shows the local time. With SQLite the local time is the database's.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        host: str,
        local: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = _uptime,
    ) -> None:
        self._engine = engine
        self._host = host
        self._local = local
        self._monotonic = monotonic
        self._is_local = engine.dialect.name == "sqlite"
        self._lock = threading.Lock()
        self._base: datetime | None = None  # the database's time when the monotonic clock read zero
        self._tried_at: float | None = None
        self._is_skewed = False

    def __call__(self) -> datetime:
        """The time: aware, UTC."""
        if self._is_local:
            return self._local()
        self._measure_when_due()
        if self._base is None:
            return self._local()
        return self._base + timedelta(seconds=self._monotonic())

    def measure(self) -> timedelta | None:
        """Ask the database now; how far this host's clock is ahead of it. None: it did not answer."""
        try:
            before = self._monotonic()
            with reading(self._engine) as connection:
                told: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            after = self._monotonic()
        except InfrastructureError as error:
            log.debug("clock.not_measured", error=error)
            return None
        self._base = told.astimezone(UTC) - timedelta(seconds=(before + after) / 2)
        ahead = self._local() - (self._base + timedelta(seconds=self._monotonic()))
        self._report(ahead)
        return ahead

    def _measure_when_due(self) -> None:
        now = self._monotonic()
        with self._lock:
            pause = RETRY_EVERY if self._base is None else MEASURE_EVERY
            if self._tried_at is not None and now - self._tried_at < pause:
                return
            is_first = self._tried_at is None
            self._tried_at = now
        # In a thread: nobody who asks for the time can wait for a database that hangs.
        thread = threading.Thread(target=self.measure, name="clock", daemon=True)
        thread.start()
        if is_first:
            thread.join(FIRST_SECONDS)

    def _report(self, ahead: timedelta) -> None:
        """Say once in the log that the clock is wrong, and in the database for as long as it is."""
        is_skewed = abs(ahead) >= SKEW
        if not is_skewed and not self._is_skewed:
            return
        if is_skewed and not self._is_skewed:
            log.warning("clock.skewed", host=self._host, ahead=round(ahead.total_seconds(), 1), remedy=REMEDY)
        elif not is_skewed:
            log.info("clock.right_again", host=self._host)
        self._is_skewed = is_skewed
        try:
            self._write(ahead if is_skewed else None)
        except InfrastructureError as error:
            log.debug("clock.not_written", error=error)

    def _write(self, ahead: timedelta | None) -> None:
        with transaction(self._engine) as connection:
            if ahead is None:
                connection.execute(delete(host_clocks).where(host_clocks.c.host == self._host))
                return
            found = {"ahead": ahead.total_seconds(), "seen_at": func.clock_timestamp()}
            put = insert_for(connection, host_clocks).values(host=self._host, **found)
            connection.execute(put.on_conflict_do_update(index_elements=["host"], set_=found))


class SqlHostClocks:
    """Which hosts' clocks are wrong."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def skewed(self) -> list[HostClock]:
        """Those that said so lately, the worst first."""
        recent = host_clocks.c.seen_at > self._clock() - RECENT
        wanted = select(host_clocks).where(recent).order_by(func.abs(host_clocks.c.ahead).desc(), host_clocks.c.host)
        with reading(self._engine) as connection:
            return [HostClock(host=row.host, ahead=row.ahead) for row in connection.execute(wanted)]
