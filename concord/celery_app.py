"""The Celery app, where `celery -A concord.celery_app` looks for it.

Refuses to start without usable settings, and a worker without the key that opens the accounts' passwords (A3). Flower,
started by whatever command line, is behind its login.
"""

from __future__ import annotations

import sys

from celery import Celery

from concord import settings
from concord.bootstrap import concord
from concord.errors import ConcordError
from concord.tasks import email, upkeep
from concord.wording import english

__all__ = ["app", "email", "upkeep"]


def _made() -> Celery:
    # The first: a worker may be called flower.
    if daemon := next((word for word in sys.argv if word in ("worker", "beat", "flower")), None):
        settings.become(daemon)
    parts = concord()
    if "worker" in sys.argv:
        _ = parts.vault
    if "flower" in sys.argv:
        # Tornado and Flower are a tenth of a worker's start; only Flower itself needs them.
        from concord.adapters import flower  # noqa: PLC0415 - see above

        flower.prepare(parts.settings)
    return parts.celery


try:
    app = _made()
except ConcordError as error:
    # Celery would print a traceback around it; who typed the command needs the sentence and what to do.
    sys.exit(f"Error: {english.explain(error)}")
