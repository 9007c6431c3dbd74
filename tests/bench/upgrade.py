"""How long an upgrade of a million messages delays those who write meanwhile: `python -m tests.bench.upgrade [COUNT]`.

The database is filled as the release before left it (`FROM`), then brought up to date while one client records messages
and another claims and settles them, each with the columns that the release before knew.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import Engine, text

from concord import log
from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.settings import DatabaseSettings
from tests.bench.million import fill
from tests.bench.table import say
from tests.servers.postgres import PostgresServer

FROM: Final = "0003"
MILLION: Final = 1_000_000
_RECORD: Final = """
INSERT INTO messages (account_id, folder, uidvalidity, uid, event_id, state, priority, flags, after, seen_at)
VALUES (1, 'New', 1, :uid, :event, 'archived', 1, '[]', 'none', CURRENT_TIMESTAMP)
"""
_SETTLE: Final = "UPDATE messages SET state = 'processed' WHERE folder = 'New' AND uid = :uid AND account_id = 1"
_TRACE: Final = """
INSERT INTO trail (message_id, at, what, detail)
SELECT id, CURRENT_TIMESTAMP, 'message.archived', '{}' FROM messages
WHERE account_id = 1 AND folder = 'New' AND uidvalidity = 1 AND uid = :uid
"""


def record(engine: Engine, number: int) -> None:
    """As a poll does."""
    with engine.begin() as connection:
        event = uuid4() if engine.dialect.name == "postgresql" else uuid4().hex
        connection.execute(text(_RECORD), {"uid": number, "event": event})
        connection.execute(text(_TRACE), {"uid": number})


def settle(engine: Engine, number: int) -> None:
    """As processing does."""
    with engine.begin() as connection:
        connection.execute(text(_SETTLE), {"uid": number})


@contextmanager
def working(engine: Engine, act: Callable[[Engine, int], None]) -> Iterator[list[float]]:
    """One client that acts ten times a second; how long each act took, in seconds."""
    took: list[float] = []
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            began = time.monotonic()
            act(engine, number)
            took.append(time.monotonic() - began)
            stop.wait(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def measure(count: int) -> None:
    """Both databases, one after the other."""
    say(f"Upgrade from {FROM} to {schema.newest()}, {count:,} messages, one client recording and one settling")
    with PostgresServer() as server:
        _upgrade("PostgreSQL", server.url(server.create()), count)
    with tempfile.TemporaryDirectory() as folder:
        _upgrade("SQLite", f"sqlite:///{Path(folder) / 'concord.db'}", count)


def _upgrade(name: str, url: str, count: int) -> None:
    engine = make_engine(DatabaseSettings(url=SecretStr(url), busy_timeout=300))
    schema.upgrade(engine, to=FROM)
    fill(engine, count)
    with working(engine, record) as recorded, working(engine, settle) as settled:
        time.sleep(2)
        began = time.monotonic()
        schema.upgrade(engine)
        seconds = time.monotonic() - began
        time.sleep(2)
    engine.dispose()
    say(f"  {name}: {seconds:.1f} s; longest wait to record {max(recorded):.2f} s, to settle {max(settled):.2f} s")


if __name__ == "__main__":
    log.configure("pretty", "warning")
    measure(int(sys.argv[1]) if sys.argv[1:] else MILLION)
