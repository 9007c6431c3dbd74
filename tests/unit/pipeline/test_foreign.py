"""Calls to foreign code: within their time, and alone where one is suspect."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from concord.errors import DatabaseDownError
from concord.pipeline import foreign
from concord.pipeline.foreign import Alone, ForeignCalls, LingersError
from tests.waiting import eventually


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


class Log:
    """What was written down, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    def alone(self) -> Alone:
        return Alone(enter=lambda: self.lines.append("enter"), leave=lambda: self.lines.append("leave"))


def begin(calls: ForeignCalls, go: threading.Event) -> threading.Thread:
    """A call that takes until it is let go."""
    begun = threading.Event()

    def work() -> None:
        begun.set()
        assert go.wait(60)

    thread = threading.Thread(target=lambda: calls.run(work), daemon=True)
    thread.start()
    assert begun.wait(30)
    return thread


def test_answer_and_error_are_the_works_own() -> None:
    calls = ForeignCalls(60)

    def fail() -> None:
        raise KeyError("oops")

    assert calls.run(lambda: 42) == 42
    with pytest.raises(KeyError, match="oops"):
        calls.run(fail)


def test_work_over_its_time_is_given_up_and_says_when_it_ends(go: threading.Event) -> None:
    ended = threading.Event()

    with pytest.raises(LingersError) as caught:
        ForeignCalls(0.2).run(lambda: go.wait(60), at_end=ended.set)

    assert caught.value.error.code == "handler_time_limit"
    assert not ended.is_set()
    go.set()
    assert ended.wait(30)


def test_suspect_waits_until_it_is_alone_and_others_wait_for_it(go: threading.Event) -> None:
    calls, log, other = ForeignCalls(60), Log(), Log()
    first = begin(calls, go)
    inside = threading.Event()

    def work() -> None:
        inside.set()
        log.lines.append("work")

    suspect = threading.Thread(target=lambda: calls.run(work, alone=log.alone), daemon=True)
    suspect.start()
    assert eventually(lambda: calls._waiting_alone == 1)
    late = threading.Thread(target=lambda: calls.run(lambda: other.lines.append(f"after {log.lines[-1]}")), daemon=True)
    late.start()
    assert not inside.wait(0.3)
    assert other.lines == []

    go.set()
    for thread in (first, suspect, late):
        thread.join(30)

    assert log.lines == ["enter", "work"]
    assert other.lines == ["after work"]


def test_suspect_that_never_gets_to_be_alone_goes_without_a_stage(go: threading.Event) -> None:
    """A call that hangs must not keep suspects waiting for ever, and what dies beside it proves nothing."""
    calls, log = ForeignCalls(60, patience=0.2), Log()
    begin(calls, go)

    assert calls.run(lambda: 42, alone=log.alone) == 42
    assert log.lines == []


def test_others_do_not_wait_for_a_slow_suspect(monkeypatch: pytest.MonkeyPatch, go: threading.Event) -> None:
    monkeypatch.setattr(foreign, "ALONE", 0.2)
    calls, log = ForeignCalls(60), Log()
    suspect = threading.Thread(target=lambda: calls.run(lambda: go.wait(60), alone=log.alone), daemon=True)
    suspect.start()
    assert eventually(lambda: log.lines == ["enter", "leave"])

    assert calls.run(lambda: 42) == 42


def test_stage_that_cannot_be_written_begins_nothing() -> None:
    def refuse() -> None:
        raise DatabaseDownError("refused")

    calls, ran = ForeignCalls(60), Log()
    with pytest.raises(DatabaseDownError):
        calls.run(lambda: ran.lines.append("work"), alone=Alone(enter=refuse, leave=refuse))

    assert ran.lines == []
    assert calls.run(lambda: 42, alone=ran.alone) == 42
    assert ran.lines == ["enter"]
