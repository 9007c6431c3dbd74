"""uvicorn as a supervised daemon: READY once it listens, and a ping from its loop for as long as that turns."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

from concord.adapters import notify
from concord.errors import SettingsError
from concord.settings import AdminSettings

log = structlog.get_logger(__name__)
_PING_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 5


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify.ready("serving")
        self._pings = asyncio.create_task(_ping())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify.stopping()
        self._pings.cancel()
        await super().shutdown(sockets)


def serve(app: FastAPI, settings: AdminSettings) -> None:
    """Until a signal ends it. Raises SettingsError where the port cannot be had."""
    listener = _listen(settings)
    log.info("admin.serving", address=settings.address, port=listener.getsockname()[1])
    config: Any = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_SECONDS
    )
    with listener:
        _Server(config).run(sockets=[listener])


def _listen(settings: AdminSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:
        return socket.create_server((settings.address, settings.port), family=family)
    except OSError as error:
        raise SettingsError(
            "The admin service cannot listen there",
            address=settings.address,
            port=settings.port,
            cause=error.strerror,
            remedy="Stop what listens there, or choose another admin.port",
        ) from None


async def _ping() -> None:
    pinger = notify.Pinger()
    while True:
        pinger.ping()
        await asyncio.sleep(_PING_SECONDS)
