"""The connection budget holds under any race, on both databases (A6)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import Engine

from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.connections import SqlConnections
from concord.adapters.sql.engine import make_engine
from concord.adapters.sql.holdings import SqlPolls, SqlSlots
from concord.adapters.sql.leases import LeaseTerms
from concord.model.worker import Incarnation
from concord.pipeline.release import release_dead
from concord.ports import KeptSlots
from tests import sql_world
from tests.servers.fixtures_database import settings_of
from tests.sql_world import MINUTE, START, StandingClock

HOST = "imap.example.com"


@pytest.fixture
def clock() -> StandingClock:
    """Goes on when told."""
    return StandingClock()


@pytest.fixture
def slots(engine: Engine, clock: StandingClock) -> SqlConnections:
    """None in use."""
    return SqlConnections(engine, clock)


@pytest.fixture
def acquire(slots: SqlConnections, clock: StandingClock) -> Callable[..., int | None]:
    """Take one of three for each login, one of four for the host."""

    def take(login: str = "a", host: str = HOST) -> int | None:
        return slots.acquire(host, login, per_login=3, per_host=4, until=clock() + MINUTE)

    return take


def test_a_login_gets_so_many_and_no_more(acquire: Callable[..., int | None]) -> None:
    taken = [acquire() for _ in range(4)]

    assert taken[3] is None
    assert len(set(taken[:3])) == 3


def test_a_host_gets_so_many_and_no_more_whatever_its_case(acquire: Callable[..., int | None]) -> None:
    taken = [acquire(login, host) for login, host in zip("aabbc", (HOST, HOST.upper()) * 3, strict=False)]

    assert [slot is None for slot in taken] == [False] * 4 + [True]
    assert acquire("c", "another.example.com") is not None


def test_a_released_slot_is_free(slots: SqlConnections, acquire: Callable[..., int | None]) -> None:
    first, *_ = [acquire() for _ in range(3)]
    assert first is not None

    slots.release(first)
    slots.release(first)

    assert acquire() is not None
    assert acquire() is None


def test_a_lapsed_slot_is_free_and_never_anothers(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    old = [slot for _ in range(3) if (slot := acquire()) is not None]
    clock.forward(MINUTE)

    new = [slot for _ in range(3) if (slot := acquire()) is not None]
    slots.renew(old, idle=(), until=START + 60 * MINUTE)
    for slot in old:
        slots.release(slot)

    assert not set(old) & set(new)
    assert acquire() is None


def test_a_lapsed_slot_cannot_be_renewed(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    """Another may count on it by now."""
    late = [slot for _ in range(3) if (slot := acquire()) is not None]
    clock.forward(MINUTE)

    assert slots.renew(late, idle=(), until=START + 60 * MINUTE) == KeptSlots()
    assert acquire() is not None


def test_a_renewed_slot_stays_taken(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    taken = [slot for _ in range(3) if (slot := acquire()) is not None]

    kept = slots.renew(taken, idle=taken[:1], until=START + 2 * MINUTE)
    slots.renew([], idle=(), until=START)
    assert kept == KeptSlots(kept=frozenset(taken))
    clock.forward(MINUTE)

    assert acquire() is None


def test_a_slot_taken_by_a_clock_that_was_ahead_counts_as_lapsed(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    """It would stay taken for an hour."""
    clock.forward(60 * MINUTE)
    for _ in range(3):
        acquire()
    clock.forward(-60 * MINUTE)

    assert acquire() is not None


def test_an_idle_connection_is_asked_to_give_its_slot_up(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    """W8: processes share the budget."""
    taken = [slot for _ in range(3) if (slot := acquire()) is not None]
    assert not slots.ask(HOST, "a", per_login=3)  # all are in use
    slots.renew(taken, idle=taken[1:], until=clock() + MINUTE)

    assert slots.ask(HOST, "a", per_login=3)
    assert slots.ask(HOST, "a", per_login=3)

    kept = slots.renew(taken, idle=taken[1:], until=clock() + MINUTE)
    assert len(kept.wanted) == 1
    assert kept.wanted < set(taken[1:])


def test_another_logins_idle_connection_helps_only_where_the_host_is_full(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    mine = [slot for _ in range(3) if (slot := acquire()) is not None]
    other = acquire("b")
    assert other is not None
    slots.renew([*mine, other], idle=[other], until=clock() + MINUTE)

    assert not slots.ask(HOST, "a", per_login=3)
    assert slots.ask(HOST, "c", per_login=3)


def test_a_worker_that_starts_again_frees_the_slots_of_its_former_life(engine: Engine, clock: StandingClock) -> None:
    """They stayed taken for 410 s."""
    lives = {name: Incarnation("poll@here", name) for name in ("first", "second")}
    former = SqlConnections(engine, clock, lambda: lives["first"])
    former.acquire(HOST, "a", per_login=1, per_host=1, until=clock() + MINUTE)
    now = SqlConnections(engine, clock, lambda: lives["second"])
    assert now.acquire(HOST, "a", per_login=1, per_host=1, until=clock() + MINUTE) is None

    released = release_dead([SqlSlots(engine)], lives["second"], is_alive=lambda _holder: False)

    assert released == 1
    assert now.acquire(HOST, "a", per_login=1, per_host=1, until=clock() + MINUTE) is not None


def test_a_worker_that_starts_again_frees_the_polls_of_its_former_life(engine: Engine, clock: StandingClock) -> None:
    """P3: a killed poll's lease lasts for a minute, else."""
    lives = {name: Incarnation("poll@here", name) for name in ("first", "second")}
    accounts = {name: SqlAccounts(engine, clock, LeaseTerms(worker=partial(lives.get, name))) for name in lives}
    account = accounts["first"].add(sql_world.account())
    lease = accounts["first"].lease(account.id, until=clock() + MINUTE)
    assert lease is not None
    assert accounts["second"].lease(account.id, until=clock() + MINUTE) is None

    released = release_dead([SqlPolls(engine)], lives["second"], is_alive=lambda _holder: False)

    assert released == 1
    assert accounts["second"].lease(account.id, until=clock() + MINUTE) is not None
    assert accounts["first"].renew(lease, until=clock() + MINUTE) is None


def test_of_sixteen_threads_four_get_a_slot(slots: SqlConnections) -> None:
    barrier = Barrier(16)

    def take(number: int) -> int | None:
        barrier.wait()
        return slots.acquire(HOST, f"login {number % 3}", per_login=16, per_host=4, until=START + MINUTE)

    with ThreadPoolExecutor(16) as threads:
        taken = [slot for slot in threads.map(take, range(16)) if slot is not None]

    assert len(taken) == len(set(taken)) == 4


def test_processes_keep_to_one_budget(database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.SimpleQueue()
    workers = [spawn.Process(target=_take_eight, args=(database_url, answers)) for _ in range(2)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert sum(answers.get() for _ in workers) == 4


def _take_eight(url: str, answers: multiprocessing.SimpleQueue[int]) -> None:
    engine = make_engine(settings_of(url))
    slots = SqlConnections(engine, StandingClock())
    taken = [slots.acquire(HOST, "a", per_login=4, per_host=16, until=START + MINUTE) for _ in range(8)]
    answers.put(sum(slot is not None for slot in taken))
    engine.dispose()
