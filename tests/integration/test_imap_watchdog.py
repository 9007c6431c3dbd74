"""Guards cut what outlives its time, and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from concord.adapters.imap.watchdog import Guard, Watchdog

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def test_time_up_wakes_whoever_waits(pair: Pair) -> None:
    """P3."""
    guard = Watchdog().guard(0.1)
    guard.watch(pair[0])

    began = time.monotonic()
    assert pair[0].recv(1) == b""

    assert 0.05 < time.monotonic() - began < 5
    assert guard.expired
    guard.end()


def test_the_soonest_deadline_comes_first(pair: Pair) -> None:
    watchdog = Watchdog()
    late, soon = watchdog.guard(60), watchdog.guard(0.05)
    soon.watch(pair[0])

    assert pair[0].recv(1) == b""

    assert not late.expired
    late.end()
    soon.end()


def test_an_ended_guard_cuts_nothing(pair: Pair) -> None:
    """The connection may be another poll's by then."""
    guard = Guard()
    guard.watch(pair[0])
    guard.end()

    guard.cut()
    pair[1].send(b"x")

    assert pair[0].recv(1) == b"x"
    assert not guard.expired


def test_a_late_connection_is_cut_at_once(pair: Pair) -> None:
    """Time ran out while the name was being resolved."""
    guard = Guard()
    guard.cut()

    guard.watch(pair[0])

    assert pair[0].recv(1) == b""
    guard.end()


def test_a_guard_outlives_the_socket_it_was_given(pair: Pair) -> None:
    """TLS wraps a socket by taking its descriptor away."""
    guard = Guard()
    guard.watch(pair[0])
    wrapped = socket.socket(fileno=pair[0].detach())
    wrapped.settimeout(10)

    guard.cut()

    assert wrapped.recv(1) == b""
    wrapped.close()
    guard.end()
