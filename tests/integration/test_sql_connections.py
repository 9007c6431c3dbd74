"""The connection budget holds under any race, on both databases (A6)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine

from concord.adapters.sql.connections import SqlConnections
from concord.adapters.sql.engine import make_engine
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
    slots.renew(old, START + 60 * MINUTE)
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

    slots.renew(late, START + 60 * MINUTE)

    assert acquire() is not None


def test_a_renewed_slot_stays_taken(
    slots: SqlConnections, acquire: Callable[..., int | None], clock: StandingClock
) -> None:
    taken = [slot for _ in range(3) if (slot := acquire()) is not None]

    slots.renew(taken, START + 60 * MINUTE)
    slots.renew([], START)
    clock.forward(MINUTE)

    assert acquire() is None


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
