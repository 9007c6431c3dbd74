"""Claims whose commit the database did not answer: made or not, nobody works on them. They are given back.

Without that, such a row would stand still until its lease lapses, and be suspect then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.work import Claiming, Work
from concord.errors import InfrastructureError

log = structlog.get_logger(__name__)

# Between two tries to give a claim back, in seconds.
AGAIN: Final = 5.0


@contextmanager
def claiming_transaction(engine: Engine, work: Work, ids: Sequence[int], claiming: Claiming) -> Iterator[Connection]:
    """A transaction that claims rows. Where its commit is not answered, a thread gives back what it claimed."""
    is_asked = False
    try:
        with transaction(engine) as connection:
            yield connection
            is_asked = True
    except InfrastructureError:
        # Before the commit, the database forgets the transaction with its connection.
        if is_asked:
            log.warning("claim.unanswered", table=work.table.name, count=len(ids))
            threading.Thread(target=_give_back, args=(engine, work, list(ids), claiming), daemon=True).start()
        raise


def _give_back(engine: Engine, work: Work, ids: Sequence[int], claiming: Claiming) -> None:
    pause = threading.Event()
    while True:
        try:
            with transaction(engine) as connection:
                count = work.disclaim(connection, ids, claiming)
        except InfrastructureError:
            pause.wait(AGAIN)
        else:
            log.info("claim.given_back", table=work.table.name, count=count)
            return
