"""One clock for the cluster: the database's, whatever the hosts' own say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from concord.adapters.sql.clock import MEASURE_EVERY, DatabaseClock, SqlHostClocks
from concord.adapters.sql.engine import make_engine
from concord.bootstrap import Concord
from concord.settings import Settings
from tests.servers.fixtures_database import settings_of
from tests.sql_world import World, seen, workflow
from tests.waiting import eventually

HOUR = timedelta(hours=1)


class Host:
    """A machine whose clock is wrong by so much."""

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        self.ahead = ahead
        self.uptime = 1000.0

    def local(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return self.uptime

    def clock(self, engine: Engine, name: str = "here") -> DatabaseClock:
        return DatabaseClock(engine, host=name, local=self.local, monotonic=self.monotonic)


# SQLite's clock is the host's own.
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@ON_POSTGRESQL
@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_host_whose_clock_is_wrong_tells_the_databases_time(engine: Engine, ahead: timedelta) -> None:
    clock = Host(ahead).clock(engine)

    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=30)


@ON_POSTGRESQL
@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_clock_that_is_set_while_we_run_changes_nothing(engine: Engine, ahead: timedelta) -> None:
    host = Host()
    clock = host.clock(engine)
    before = clock()

    host.ahead = ahead
    host.uptime += 3

    assert clock() - before == timedelta(seconds=3)


@ON_POSTGRESQL
def test_two_hosts_agree(engine: Engine) -> None:
    first, second = Host(HOUR).clock(engine, "first"), Host(-HOUR).clock(engine, "second")

    assert abs(first() - second()) < timedelta(seconds=30)


@ON_POSTGRESQL
def test_a_skew_is_told_once_in_the_log_and_for_as_long_as_it_lasts_in_the_database(engine: Engine) -> None:
    host = Host(HOUR)
    clock = host.clock(engine, "mail-2")
    with capture_logs() as said:
        clock.measure()
        clock.measure()
    skewed = SqlHostClocks(engine, clock).skewed()
    host.ahead = timedelta(0)
    clock.measure()

    assert [line["event"] for line in said] == ["clock.skewed"]
    assert said[0]["host"] == "mail-2"
    assert [(one.host, round(one.ahead / 60)) for one in skewed] == [("mail-2", 60)]
    assert SqlHostClocks(engine, clock).skewed() == []


@ON_POSTGRESQL
def test_a_host_that_fell_silent_is_not_accused_for_ever(engine: Engine) -> None:
    clock = Host(HOUR).clock(engine)
    clock.measure()

    assert SqlHostClocks(engine, lambda: clock() + HOUR).skewed() == []


@ON_POSTGRESQL
def test_it_is_measured_again_every_minute_and_nobody_waits_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()
    clock = host.clock(engine)
    clock()
    hangs, asked = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        hangs.wait(60)

    monkeypatch.setattr(clock, "measure", hang)
    host.uptime += MEASURE_EVERY + 1
    clock()  # returns

    assert eventually(asked.is_set)
    hangs.set()


@ON_POSTGRESQL
def test_without_the_database_it_goes_on_from_what_it_knows(engine: Engine) -> None:
    host = Host(HOUR)
    clock = host.clock(engine)
    before = clock()
    clock._engine = unreachable()
    host.uptime += MEASURE_EVERY + 1

    assert clock.measure() is None
    assert clock() - before == timedelta(seconds=MEASURE_EVERY + 1)


def test_a_process_that_never_reached_the_database_goes_by_its_own_clock() -> None:
    host = Host(HOUR)
    clock = host.clock(unreachable())

    assert abs(clock() - host.local()) < timedelta(seconds=30)


def test_with_sqlite_the_host_is_the_clock() -> None:
    host = Host(HOUR)

    assert abs(host.clock(make_engine(settings_of("sqlite://")))() - host.local()) < timedelta(seconds=30)


def unreachable() -> Engine:
    return make_engine(settings_of("postgresql://nobody@127.0.0.1:1/none"))


# With SQLite, a machine has one clock, and nothing to check it against.


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_workers_hold_does_not_outlast_an_hour_that_a_clock_was_ahead(database_url: str, world: World) -> None:
    """Section 2: a clock set back an hour blocks nobody for longer than a lease."""
    world.finished(handlers=("log",), workflows=(workflow(),))
    [ref] = world.record([seen(1_000_000)])
    [delivery], [run] = world.outbox.deliveries(), world.outbox.runs()
    concord = Concord(Settings(database=settings_of(database_url)))
    vars(concord)["clock"] = world.clock
    world.clock.forward(HOUR)
    until = world.clock() + timedelta(minutes=2)
    assert concord.outbox.claim_deliveries([delivery.id], until=until)
    assert concord.outbox.claim_run(run.id, until=until)
    assert concord.ledger.claim([ref.id], until=until)

    world.clock.forward(-HOUR)
    until = world.clock() + timedelta(minutes=2)

    assert concord.outbox.claim_deliveries([delivery.id], until=until)
    assert concord.outbox.claim_run(run.id, until=until)
    assert concord.ledger.claim([ref.id], until=until)
    concord.engine.dispose()
