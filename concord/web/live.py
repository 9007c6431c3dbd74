"""Parts of a page that stay true while it is open: server-sent events (HTML Living Standard, section 9.2)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import structlog
from fastapi import Request
from starlette.responses import StreamingResponse

from concord.errors import ConcordError

log = structlog.get_logger(__name__)

# A proxy in between takes a connection that says nothing for a dead one.
_BEAT_SECONDS: Final = 15.0
# Then the browser asks anew, and is looked at anew: whoever lost the right to see this sees it no longer.
_LONGEST_SECONDS: Final = 300.0
# How soon a stream notices that the service ends.
_NOTICED_SECONDS: Final = 0.5
# No asyncio.Event: the site may serve from several loops, one after the other.
_ending: Final = threading.Event()
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Parts = Callable[[], Awaitable[Mapping[str, str]]]
"""The HTML of each part, by its id: an element that has that id."""


def stream(request: Request, parts: Parts, *, every: float) -> StreamingResponse:
    """Ask for the parts every so many seconds, and send those that changed."""
    return StreamingResponse(_events(request, parts, every), media_type="text/event-stream", headers=_HEADERS)


async def _events(request: Request, parts: Parts, every: float) -> AsyncIterator[str]:
    begun = spoke = time.monotonic()
    sent: dict[str, str] = {}
    # Where the line breaks the browser waits so long before it asks anew.
    yield f"retry: {round(every * 1000)}\n\n"
    while time.monotonic() - begun < _LONGEST_SECONDS and not is_over() and not await request.is_disconnected():
        fresh = await _asked(parts)
        changed = {name: html for name, html in fresh.items() if sent.get(name) != html}
        sent |= changed
        if changed or time.monotonic() - spoke > _BEAT_SECONDS:
            spoke = time.monotonic()
            yield event("".join(changed.values())) if changed else ":\n\n"
        await pause(every)


def end() -> None:
    """The service ends: no stream may hold it up."""
    _ending.set()


def is_over() -> bool:
    """Whether streams are to end now."""
    return _ending.is_set()


async def pause(seconds: float) -> None:
    """Until the next look, or until the service ends."""
    over = time.monotonic() + seconds
    while not is_over() and (left := over - time.monotonic()) > 0:  # noqa: ASYNC110 - an Event belongs to one loop
        await asyncio.sleep(min(left, _NOTICED_SECONDS))


async def _asked(parts: Parts) -> Mapping[str, str]:
    """What cannot be asked just now stays as it is; the page itself says why when it is loaded."""
    try:
        return await parts()
    except ConcordError as error:
        log.warning("live.missing", error=error)
        return {}


def event(html: str) -> str:
    """One message; each of its lines is a line of data."""
    return "".join(f"data: {line}\n" for line in html.splitlines() if line.strip()) + "\n"
