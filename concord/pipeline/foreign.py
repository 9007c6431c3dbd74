"""Running handlers and steps, which may be foreign code: with a limit to their time, and alone where one is suspect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from concord.errors import HandlerTimeLimitError, InfrastructureError

log = structlog.get_logger(__name__)

T = TypeVar("T")

# How long a suspect waits for the others to end. Without a moment alone it goes with them, and nothing is proved.
PATIENCE: Final = 60.0
# And how long it is alone: what kills a worker mostly does so at once, and everything else waits meanwhile.
ALONE: Final = 10.0


class LingersError(Exception):
    """A call goes on although nobody waits for it any more: it keeps its place among its handler's until it ends."""

    def __init__(self, error: HandlerTimeLimitError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """What a suspect's call writes down: that it is alone in the process, and that it is so no more."""

    enter: Callable[[], object]
    leave: Callable[[], object]


class ForeignCalls:
    """The calls of one process to handlers and steps."""

    def __init__(self, limit: float, *, patience: float = PATIENCE) -> None:
        self._limit = limit
        self._patience = patience
        self._changed = threading.Condition()
        self._running = 0
        self._waiting_alone = 0
        self._is_alone = False

    def run(
        self,
        work: Callable[[], T],
        *,
        at_end: Callable[[], object] = lambda: None,
        alone: Alone | None = None,
    ) -> T:
        """The answer of `work`, or what it raises; LingersError where the time is up before it ends.

        A thread cannot be killed: what goes on after its time holds its share of the threads until it really ends, and
        `at_end` is called then. Its answer counts no more. With `alone` the process begins nothing else of this kind
        for a while.
        """
        call = _Call(work, self._leave, at_end)
        is_alone = self._enter(alone=alone is not None)
        try:
            if is_alone and alone:
                self._go_alone(call, alone)
            else:
                call.start()
            is_ended = call.ended.wait(self._limit)
        except BaseException as error:
            if not call.is_started:
                self._leave()
                raise
            is_running = call.give_up()
            if not isinstance(error, Exception):
                raise
            if is_running:
                # Celery's soft time limit, in a worker of processes.
                raise LingersError(HandlerTimeLimitError("interrupted")) from error
            is_ended = True
        if not is_ended and call.give_up():
            raise LingersError(HandlerTimeLimitError("exceeded", limit=self._limit))
        return call.answer()

    def _go_alone(self, call: _Call[T], alone: Alone) -> None:
        """Begin, and keep the others waiting for a while. Where that cannot be taken back, until it ends."""
        try:
            alone.enter()
            call.start()
            deadline = time.monotonic() + self._limit
            while not call.ended.wait(ALONE) and time.monotonic() < deadline:
                with suppress(InfrastructureError):
                    alone.leave()
                    return
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

    def _enter(self, *, alone: bool) -> bool:
        """Begin a call; whether it is alone. Who wants to be alone goes before all that have not begun."""
        with self._changed:
            if alone:
                self._waiting_alone += 1
                granted = self._changed.wait_for(self._is_idle, timeout=self._patience)
                self._waiting_alone -= 1
                self._is_alone = self._is_alone or granted
            else:
                granted = False
                self._changed.wait_for(self._is_open)
            self._running += 1
            self._changed.notify_all()
            return granted

    def _is_idle(self) -> bool:
        return not self._running and not self._is_alone

    def _is_open(self) -> bool:
        return not self._is_alone and not self._waiting_alone

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


class _Call(Generic[T]):
    def __init__(self, work: Callable[[], T], ended: Callable[[], None], at_end: Callable[[], object]) -> None:
        self.ended = threading.Event()
        self._work = work
        self._tell_ended = ended
        self._at_end = at_end
        self._lock = threading.Lock()
        self.is_started = False
        self._is_given_up = False
        self._answer: Any = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self.is_started = True
        threading.Thread(target=copy_context().run, args=(self._run,), name="handler", daemon=True).start()

    def give_up(self) -> bool:
        """Wait no more; False where it has ended after all."""
        with self._lock:
            self._is_given_up = not self.ended.is_set()
            return self._is_given_up

    def answer(self) -> T:
        if self._error is not None:
            raise self._error
        answer: T = self._answer
        return answer

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._answer = self._work()
        except BaseException as error:  # noqa: BLE001 - foreign code; whoever waits raises it again
            self._error = error
        self._tell_ended()
        with self._lock:
            self.ended.set()
            late = self._is_given_up
        if late:
            log.warning("handler.late", seconds=round(time.monotonic() - began), error=self._error)
            self._at_end()
