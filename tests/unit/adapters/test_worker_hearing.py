"""When a worker counts as deaf, lost or stuck, second by second."""

from __future__ import annotations

import pytest

from concord.adapters.worker_hearing import RECONNECT_SECONDS, Ailment, Hearing, Load

DEAF_AFTER, STUCK_AFTER = 60.0, 860.0


@pytest.fixture
def hearing() -> Hearing:
    return Hearing(deaf_after=DEAF_AFTER, stuck_after=STUCK_AFTER)


def load(begun: int = 0, *, canaries: int = 0, running: int = 0, room: bool = True) -> Load:
    return Load(begun=begun, canaries=canaries, running=running, room=room)


def live(hearing: Hearing, given: Load, seconds: range, *, connected: bool = True, redis: bool = True) -> None:
    """Look and ask every ten seconds."""
    for now in seconds[::10]:
        hearing.look(given, connected=connected, now=now)
        hearing.asked(now) if redis else hearing.could_not_ask()


def kind(hearing: Hearing, now: float) -> Ailment | None:
    found = hearing.ailment(now)
    return found[0] if found else None


def test_canary_that_never_returns_means_deaf(hearing: Hearing) -> None:
    """D1."""
    live(hearing, load(), range(60))

    assert kind(hearing, 60) is None
    assert kind(hearing, 61) is Ailment.DEAF


def test_task_begun_means_that_it_hears(hearing: Hearing) -> None:
    """D1."""
    live(hearing, load(), range(60))
    live(hearing, load(1, canaries=1), range(60, 100))

    assert kind(hearing, 110) is None
    assert hearing.consumed_at == 60


def test_redis_that_is_away_makes_nobody_deaf(hearing: Hearing) -> None:
    """Trap 51: what cannot be sent cannot go stale."""
    live(hearing, load(), range(30))
    live(hearing, load(), range(30, 500), redis=False)

    assert kind(hearing, 500) is None


def test_worker_has_time_to_connect_again(hearing: Hearing) -> None:
    """Trap 51."""
    live(hearing, load(), range(90), connected=False, redis=False)
    live(hearing, load(), range(90, 120), connected=False)
    live(hearing, load(), range(120, 170))

    assert kind(hearing, 170) is None


def test_worker_that_never_connects_again_is_lost(hearing: Hearing) -> None:
    """Trap 23: Redis answers us, and the consumer does not come back."""
    live(hearing, load(), range(200), connected=False)

    assert kind(hearing, DEAF_AFTER + RECONNECT_SECONDS) is None
    assert kind(hearing, DEAF_AFTER + RECONNECT_SECONDS + 1) is Ailment.LOST


def test_busy_pool_makes_nobody_deaf(hearing: Hearing) -> None:
    """D1: long tasks in every slot."""
    live(hearing, load(2, running=2, room=False), range(400))

    assert kind(hearing, 400) is None


def test_canary_behind_a_busy_pool_has_its_whole_time(hearing: Hearing) -> None:
    """D1: counted from when there is room."""
    live(hearing, load(2, running=2, room=False), range(400))
    live(hearing, load(2), range(400, 450))

    assert kind(hearing, 460) is None
    assert kind(hearing, 461) is Ailment.DEAF


def test_full_pool_that_outlasts_every_task_is_stuck(hearing: Hearing) -> None:
    """D1: all threads wait for something that never comes."""
    live(hearing, load(2, running=2, room=False), range(900))

    assert kind(hearing, STUCK_AFTER) is None
    assert kind(hearing, STUCK_AFTER + 1) is Ailment.STUCK


def test_full_pool_that_turns_over_is_not_stuck(hearing: Hearing) -> None:
    for turn in range(20):
        live(hearing, load(2 + turn, running=2, room=False), range(turn * 100, turn * 100 + 100))

    assert kind(hearing, 2000) is None


def test_finished_tasks_leave_out_canaries() -> None:
    assert load(100, canaries=10, running=3).done == 87
