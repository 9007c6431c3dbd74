"""The Celery app, where `celery -A concord.celery_app` looks for it.

Refuses to start without usable settings and the key that opens the accounts' secrets (A3).
"""

from __future__ import annotations

from concord.bootstrap import concord
from concord.tasks import email, upkeep

__all__ = ["app", "email", "upkeep"]

app = concord().celery
