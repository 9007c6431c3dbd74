"""Flower, always behind a login that stands neither in its arguments nor in its environment."""

from __future__ import annotations

import logging
import secrets

import structlog
from flower.app import Flower
from flower.options import default_options
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.options import options as tornado_options

from concord.adapters import notify
from concord.settings import Settings

log = structlog.get_logger(__name__)
_LOOPBACK = ("127.", "localhost", "::1")
_PING_MILLISECONDS = 5_000


def prepare(settings: Settings) -> None:
    """Set Flower's options in this process, before its command reads the command line (which may override them)."""
    chosen = settings.flower
    password = chosen.password.get_secret_value() if chosen.password else ""
    if not password:
        # An open page is not offered: nobody knows this one, so the log says how to have one's own.
        password = secrets.token_urlsafe(24)
        log.warning("flower.no_password", remedy="Put one in the credential file 'flower__password'")
    default_options.basic_auth = [f"{chosen.user}:{password}"]
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
    _prove_alive()


def _prove_alive() -> None:
    """READY once it listens; then pings from its own loop, so that a loop that is stuck is noticed."""
    listen = Flower.start_http_server

    def listen_and_tell(self: Flower) -> object:
        port = listen(self)
        notify.ready("serving")
        return port

    def begin() -> None:
        PeriodicCallback(pinger.ping, _PING_MILLISECONDS).start()

    pinger = notify.Pinger()
    Flower.start_http_server = listen_and_tell
    IOLoop.current().add_callback(begin)
