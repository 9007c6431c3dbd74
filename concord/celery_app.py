"""The Celery app, where `celery -A concord.celery_app` looks for it.

Refuses to start without usable settings; Flower, started by whatever command line, is behind its login.
"""

from __future__ import annotations

import sys

from concord.adapters import flower
from concord.bootstrap import concord
from concord.tasks import email, upkeep

__all__ = ["app", "email", "upkeep"]

app = concord().celery

if "flower" in sys.argv:
    flower.prepare(concord().settings)
