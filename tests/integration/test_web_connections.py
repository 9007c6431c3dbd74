"""Connections that say nothing, or half of something, are cut; the others are served (issue 10, finding 15)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import uvicorn

from concord.web.connections import PatientProtocol

pytestmark = pytest.mark.anyio

WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Hasty(PatientProtocol):
    """With deadlines that a test can wait for."""

    head_seconds: ClassVar[float] = 0.3
    body_seconds: ClassVar[float] = 0.5
    most: ClassVar[int] = 8


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Any) -> None:
    """Reads the body, waits where it is asked to, answers."""
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(4 * Hasty.head_seconds)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, int]]:
    """A service on a port of its own."""
    config = uvicorn.Config(application, http=Hasty, lifespan="off", log_config=None, timeout_keep_alive=30)
    server = uvicorn.Server(config)
    # It listens already: who connects before the server runs waits.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            await running


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An octet now and then, for longer than the deadline."""
    for octet in WHOLE[:-4] * 2:
        if reader.at_eof() or writer.is_closing():
            return
        writer.write(bytes([octet]))
        await asyncio.sleep(Hasty.head_seconds / 10)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends soon."""
    try:
        async with asyncio.timeout(20):
            await reader.read()
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1000,
        POST,
        POST + b"half",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        WHOLE + b"GET / HT",
        WHOLE + WHOLE + b"GET / HTTP/1.1\r\nHost: x\r\n",
    ],
)
async def test_who_leaves_something_out_is_cut_off(said: bytes) -> None:
    async with served() as place:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(said)

        assert await is_cut(reader)
        writer.close()


async def test_dripping_octets_do_not_lengthen_the_deadline() -> None:
    async with served() as place:
        reader, writer = await asyncio.open_connection(*place)
        dripping = asyncio.create_task(drip(reader, writer))

        assert await is_cut(reader)
        dripping.cancel()
        writer.close()


async def test_slow_answers_and_kept_connections_are_left_alone() -> None:
    async with served() as place:
        reader, writer = await asyncio.open_connection(*place)
        for path in (b"/slow", b"/"):
            writer.write(WHOLE.replace(b"/ ", path + b" ", 1))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(2) == b"ok"
        writer.close()


async def test_crowd_of_silent_connections_keeps_nobody_out() -> None:
    async with served() as place:
        crowd = [await asyncio.open_connection(*place) for _ in range(4 * Hasty.most)]
        reader, writer = await asyncio.open_connection(*place)
        writer.write(WHOLE)

        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        for _, other in (*crowd, (reader, writer)):
            other.close()
