"""uvicorn as a supervised daemon: READY once it answers, pings from its loop, one log for all."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from concord.adapters import notify
from concord.errors import CannotListenError
from concord.settings import AdminSettings
from concord.web import live
from concord.web.connections import PatientProtocol

log = structlog.get_logger(__name__)

_GRACE_SECONDS: Final = 5


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, at_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._at_end = at_end
        self._pinger = notify.Pinger()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify.ready("serving")

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, as long as the loop turns."""
        self._pinger.ping()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify.stopping()
        live.end()
        await super().shutdown(sockets)
        self._at_end()


def serve(app: ASGIApp, settings: AdminSettings, *, at_end: Callable[[], None]) -> None:
    """Until SIGTERM ends it; then open requests get a few seconds, then comes `at_end`. Raises CannotListenError."""
    # uvicorn ends in order, and then raises the signal again for whoever had it before.
    signal.signal(signal.SIGTERM, _end)
    with _listener(settings) as listener:
        log.info("admin.serving", address=settings.address, port=settings.port)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http=PatientProtocol,
            # Whose X-Forwarded headers are believed, the application says.
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        _Server(config, at_end).run(sockets=[listener])


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _listener(settings: AdminSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:
        listener = socket.create_server((settings.address, settings.port), family=family)
    except OSError as error:
        raise CannotListenError("admin", address=settings.address, port=settings.port, cause=error.strerror) from error
    # Connections inherit it. asyncio sets it only where a socket names its protocol, and these do not: then an answer's
    # body waits for the browser's acknowledgement of its head, 40 ms each time.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
