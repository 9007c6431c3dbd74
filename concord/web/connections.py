"""Connections of the admin service: who says nothing, or half of something, does not keep a place for long."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST: Final = 512


class PatientProtocol(H11Protocol):
    """uvicorn's, which waits for a request's head and body for ever.

    The deadlines are those of the samples for proxies. Where all places are taken, the connection that has waited
    longest for its head makes room: a crowd of silent ones keeps nobody out.
    """

    head_seconds: ClassVar[float] = 10
    body_seconds: ClassVar[float] = 60
    most: ClassVar[int] = MOST

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited: object = None  # the state in which the deadline was set

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own type
        """A visitor."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Some octets."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """The next request, if there is one, is under way already or will be met by `data_received`."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._cancel()
        super().connection_lost(exc)

    @property
    def waits_for_head(self) -> bool:
        """Whether the visitor has to say what is wanted."""
        return self.conn.their_state is h11.IDLE

    @property
    def waits_until(self) -> float:
        """When its deadline is; of what waits for nothing, never."""
        return self._deadline.when() if self._deadline else float("inf")

    def give_up(self) -> None:
        """Cut the connection."""
        self._cancel()
        if not self.transport.is_closing():
            self.transport.abort()

    def _wait(self) -> None:
        """One deadline for a whole head, and one for a whole body: dripping octets do not lengthen it."""
        state = self.conn.their_state
        if state is self._awaited:
            return
        self._cancel()
        self._awaited = state
        seconds = {h11.IDLE: self.head_seconds, h11.SEND_BODY: self.body_seconds}.get(state)
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self.give_up)

    def _cancel(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        self._awaited = None

    def _make_room(self) -> None:
        others = (cast("PatientProtocol", one) for one in self.connections if one is not self)
        waiting = [one for one in others if one.waits_for_head]
        min(waiting, key=lambda one: one.waits_until, default=self).give_up()
