"""The polling worker's pool is stopped by a signal handler, in the thread that hands it its tasks."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from celery.worker import state

from concord.adapters import threads
from concord.adapters.threads import Threads


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    """One thread, and a worker that was told to end, and has waited long enough."""
    monkeypatch.setattr(state, "should_terminate", True)
    monkeypatch.setattr(Threads, "abandoned", False)
    made = Threads(limit=1)
    yield made
    made.executor.shutdown()


@pytest.mark.timeout(10)
def test_a_stop_that_interrupts_the_handing_over_of_a_task_does_not_hang(
    pool: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor holds its lock here, and the lock is not one that its owner could take again."""
    monkeypatch.setattr(pool.executor, "_adjust_thread_count", pool.stop)

    pool.on_apply(print)

    assert Threads.abandoned


@pytest.mark.timeout(10)
def test_what_was_not_begun_when_all_was_given_up_is_never_begun(pool: Threads) -> None:
    """Its message is in the queue again: another worker does it."""
    go, begun = threading.Event(), threading.Event()
    seen: list[object] = []

    def hold() -> None:
        begun.set()
        go.wait()

    first = pool.on_apply(hold, callback=seen.append)
    second = pool.on_apply(lambda: "second", callback=seen.append)
    begun.wait()

    pool.stop()
    go.set()
    first.wait()
    second.wait()

    assert seen == [None]


@pytest.mark.parametrize("is_abandoned", [True, False])
def test_threads_that_are_given_up_give_back_their_claims_first(
    monkeypatch: pytest.MonkeyPatch, *, is_abandoned: bool
) -> None:
    """Whoever takes these deliveries next need not wait for a lease, and nobody suspects them."""
    order: list[object] = []
    monkeypatch.setattr(Threads, "abandoned", is_abandoned)
    monkeypatch.setattr("concord.adapters.threads.logging.shutdown", lambda: None)
    monkeypatch.setattr("concord.adapters.threads.os._exit", order.append)

    threads.leave(3, lambda: order.append("given back"))

    assert order == (["given back", 3] if is_abandoned else [])
