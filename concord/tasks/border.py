"""The edge of every task: what is ours and away is said in one line; the sweep brings the work back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from concord.errors import InfrastructureError

log = structlog.get_logger(__name__)


@contextmanager
def border() -> Iterator[None]:
    """No traceback for a database, an archive or a Redis that is away; bugs go through with theirs."""
    try:
        yield
    except InfrastructureError as error:
        log.warning("task.postponed", error=error)
