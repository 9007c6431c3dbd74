"""Flower, always behind a login that stands neither in its arguments nor in its environment, and only to look at.

What moves daemons goes through the manager, which writes down who asked; Flower's own buttons are off.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from flower.options import default_options
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.options import options as tornado_options

from concord import log as logs
from concord.adapters import notify
from concord.errors import CannotListenError, SettingsError
from concord.settings import FlowerSettings, Settings

log = structlog.get_logger(__name__)

_LOOPBACK: Final = ("127.", "localhost", "::1")
_PING_MILLISECONDS: Final = 1_000
_NOT_LISTENING: Final = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """Around Flower's command. Raises CannotListenError where its port cannot be had."""
    prepare(settings)
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_LISTENING and not isinstance(error, socket.gaierror):
            raise
        raise CannotListenError(
            "flower", address=settings.flower.address, port=settings.flower.port, cause=error.strerror
        ) from error
    finally:
        notify.stopping()


def prepare(settings: Settings) -> None:
    """Set Flower's options in this process, before its command reads the command line (which may override them)."""
    chosen = settings.flower
    # Celery sets up the logging of its own commands, not of this one.
    logs.configure(settings.log.style, settings.log.level, daemon="flower", directory=settings.log.directory)
    default_options.basic_auth = [f"{chosen.user}:{_password(chosen)}"]
    default_options.read_only = True
    default_options.address = chosen.address
    default_options.port = chosen.port
    default_options.max_tasks = chosen.max_tasks
    default_options.persistent = False
    default_options.broker_api = None
    # Tornado would put a second handler on the root logger.
    tornado_options.logging = "none"
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    if not chosen.address.startswith(_LOOPBACK):
        log.warning(
            "flower.exposed",
            address=chosen.address,
            remedy="Its pages /metrics and /healthcheck ask for no login: leave it on 127.0.0.1, behind a proxy",
        )
    # The loop that Flower will run: what it does first, it does when Flower already listens.
    IOLoop.current().add_callback(_begin)


def _password(chosen: FlowerSettings) -> str:
    password = chosen.password.get_secret_value() if chosen.password else ""
    if not password:
        # An open page is not offered: nobody knows this one, so the log says how to have one's own.
        log.warning("flower.no_password", remedy="Put one in the credential file 'flower__password'")
        return secrets.token_urlsafe(24)
    if not f"{chosen.user}{password}".isascii():
        # Flower compares with hmac.compare_digest, which takes no other text: nobody could log in.
        raise SettingsError("flower_ascii", setting="flower.password")
    return password


def _begin() -> None:
    """Say READY, and ping from Flower's own loop: one that is stuck is noticed."""
    # Python's handlers and Flower's raise an exception wherever the signal arrives. While the pool starts a thread,
    # nobody ends that thread, and the process waits for it for ever. The loop ends between two callbacks.
    for wish in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(wish) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(wish, _stop)
    notify.ready("serving")
    PeriodicCallback(notify.Pinger().ping, _PING_MILLISECONDS).start()


def _stop() -> None:
    log.info("flower.stopping")
    IOLoop.current().stop()
