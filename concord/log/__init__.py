"""One structlog pipeline for Concord, Celery and every library, and the places its lines go to.

Event names are constant (`mail.archived`), facts are fields, identifiers stand for objects. What identifies the unit
of work (account, message, task_id) is bound once with `structlog.contextvars.bound_contextvars`.
"""

from __future__ import annotations

from concord.log.chain import configure
from concord.log.files import file_name
from concord.log.hiding import HIDDEN, hide_secrets

__all__ = ["HIDDEN", "configure", "file_name", "hide_secrets"]
