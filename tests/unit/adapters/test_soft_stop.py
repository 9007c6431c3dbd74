"""A worker that is told to end while it has no connection: Celery's way, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from celery import Celery

from concord.adapters.soft_stop import SoftStop
from tests.waiting import never


@pytest.fixture
def told() -> Iterator[list[float]]:
    """The patience that Celery's handler was given, each time it was called."""
    calls: list[float] = []
    app = Celery(set_as_current=False)
    before = signal.signal(signal.SIGQUIT, lambda *_: calls.append(app.conf.worker_soft_shutdown_timeout))
    SoftStop(app, 30).install()
    yield calls
    signal.signal(signal.SIGQUIT, before)


def test_without_a_connection_running_tasks_have_their_whole_time(told: list[float]) -> None:
    """D2: a second signal would have Celery cancel them at once."""
    os.kill(os.getpid(), signal.SIGQUIT)

    assert never(lambda: len(told) > 1, within=1)
    assert told == [pytest.approx(30, abs=1)]
