"""sd_notify against a real socket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from concord.adapters import notify
from tests.servers.manager import NotifySocket
from tests.waiting import eventually


def use(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    with NotifySocket(watchdog=60, abstract=request.param == "abstract") as listening:
        use(listening.environment, monkeypatch)
        yield listening


def test_manager_hears_every_word(manager: NotifySocket) -> None:
    """D1."""
    notify.ready("up")
    notify.alive("12 tasks done")
    notify.status("two\nlines")
    notify.stopping()

    said = ["READY=1", "STATUS=up", "WATCHDOG=1", "STATUS=12 tasks done", "STATUS=two lines", "STOPPING=1"]
    assert eventually(lambda: manager.lines == said, within=5)
    assert manager.speakers == {os.getpid()}


# Since 3.12 Python warns of any fork beside a thread; this child only sends a datagram and ends.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_may_not_ping(manager: NotifySocket) -> None:
    """D1: it would hide that its parent is stuck."""
    child = os.fork()
    if child == 0:
        notify.alive("I am the child")
        os._exit(0)
    os.waitpid(child, 0)
    notify.alive()

    assert eventually(lambda: manager.lines == ["WATCHDOG=1"], within=5)


def test_socket_that_is_gone_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use({"NOTIFY_SOCKET": str(tmp_path / "gone")}, monkeypatch)

    notify.ready("up")
    notify.alive()


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    use({"WATCHDOG_USEC": "60000000"}, monkeypatch)

    notify.ready("up")

    assert notify.watchdog_seconds() is None


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_time_is_read_from_the_environment(
    environment: Mapping[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    use({"NOTIFY_SOCKET": "@nobody", **environment}, monkeypatch)

    assert notify.watchdog_seconds() == seconds


def test_fast_loop_pings_no_oftener_than_needed(manager: NotifySocket) -> None:
    """A status is told when it changes; the rest of the time a quarter of the limit is often enough."""
    seconds = iter(range(120))
    pinger = notify.Pinger(clock=lambda: float(next(seconds)))

    for _ in range(60):
        pinger.ping("leading")
    for _ in range(60):
        pinger.ping("standby")

    assert eventually(lambda: manager.count("WATCHDOG=1") == 8, within=5)
    assert manager.status == "standby"
