"""A worker that is told to end while it has no connection: Celery's way, once; before its first one, as by SIGTERM."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.worker import state

from concord.adapters.soft_stop import SoftStop
from tests.waiting import never

CONSUMER = SimpleNamespace(hub=SimpleNamespace(add_reader=lambda *_: None))


class Told:
    """A worker's soft stop, and the patience that Celery's handler was given, each time it was called."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.app = Celery(set_as_current=False)
        self.before = signal.signal(signal.SIGQUIT, self._celerys)
        self.soft_stop = SoftStop(self.app, 30)
        self.soft_stop.install()

    def _celerys(self, *_: object) -> None:
        self.calls.append(self.app.conf.worker_soft_shutdown_timeout)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setattr(state, "should_stop", None)
    made = Told()
    yield made
    signal.signal(signal.SIGQUIT, made.before)


def test_without_a_connection_running_tasks_have_their_whole_time(told: Told) -> None:
    """D2: a second signal would have Celery cancel them at once."""
    told.soft_stop.connected(CONSUMER)
    told.soft_stop.disconnected()

    os.kill(os.getpid(), signal.SIGQUIT)

    assert never(lambda: len(told.calls) > 1, within=1)
    assert told.calls == [pytest.approx(30, abs=1)]


def test_before_the_first_connection_nothing_is_in_hand(told: Told) -> None:
    os.kill(os.getpid(), signal.SIGQUIT)

    assert (told.calls, state.should_stop) == ([], 0)
