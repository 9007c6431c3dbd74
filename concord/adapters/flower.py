"""Flower, always behind a login that stands neither in its arguments nor in its environment."""

from __future__ import annotations

import logging
import secrets

import structlog
from flower.options import default_options
from tornado.options import options as tornado_options

from concord import log as logs
from concord.settings import Settings

log = structlog.get_logger(__name__)


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
    logs.configure(settings.log.style, settings.log.level)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
