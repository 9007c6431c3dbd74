"""A database as it stands after a million mails in a month, to measure lists and searches on.

`python -m tests.bench.million URL [COUNT]` fills an empty one. The same seed gives the same rows, up to the time of the
newest. Their mails have no bytes in any archive.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import psycopg
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, text

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.settings import DatabaseSettings
from tests.bench.corpus import WORDS

ACCOUNTS: Final = 300
FOLDERS: Final = ("INBOX", "INBOX", "INBOX", "Orders", "Rechnungen/2026", "归档")
WAITING: Final = 100
PACE: Final = timedelta(seconds=2.592)  # a million in a month
_AT_ONCE: Final = 10_000
MOMENT: Final = "%Y-%m-%d %H:%M:%S.%f"
_COLUMNS: Final = (
    "id", "account_id", "folder", "uidvalidity", "uid", "event_id", "state", "priority", "sha256", "size",
    "archive_key", "internal_date", "flags", "message_id", "subject", "sender", "sent_at", "attempts", "failures",
    "error_code", "error", "gave_up_version", "after", "seen_at", "processed_at",
)  # fmt: skip
_ACCOUNT_COLUMNS: Final = (
    "id", "key", "name", "login", "host", "port", "tls", "auth", "secret", "folders", "start", "after", "priority",
    "enabled", "created_at",
)  # fmt: skip
_REASONS: Final = (
    ("archive_damaged", "An object is not what it should be (key=raw/1)"),
    ("message_unreadable", "The server lists the message and does not hand it over"),
    ("unexpected", "RecursionError: maximum recursion depth exceeded"),
)
_Row = tuple[Any, ...]


def fill(engine: Engine, count: int = 1_000_000, *, seed: int = 1, until: datetime | None = None) -> None:
    """So many messages and all that follows from them; the newest was seen just before `until`, now if not given."""
    end = until or datetime.now(UTC)
    with engine.begin() as connection:
        _add_accounts(connection, end - timedelta(days=365))
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        rows = _messages(count, random.Random(seed), end.replace(tzinfo=None))  # noqa: S311 - not secret
        put(connection, "messages", _COLUMNS, rows)
        for statement in _FOLLOWING:
            connection.execute(text(_for(connection, statement)))
    settle(engine)


def _add_accounts(connection: Connection, since: datetime) -> None:
    """With the columns that the first schema had, so that a database of any version can be filled."""
    moment = since.replace(tzinfo=None).strftime(MOMENT)
    same = ("imap.example.com", 993, "implicit", "password", b"", '["INBOX"]', "new", "leave", 1, True, moment)
    rows = [
        (number + 1, f"{number + 1:032x}", f"team{number:03}", f"team{number:03}@example.com", *same)
        for number in range(ACCOUNTS)
    ]
    put(connection, "accounts", _ACCOUNT_COLUMNS, rows)
    connection.execute(text("INSERT INTO account_states (account_id, state) SELECT id, 'new' FROM accounts"))


def settle(engine: Engine) -> None:
    """What a database does by itself in time: it counts its rows and says which pages all may see."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET statement_timeout = 0"))
            for table in ("messages", "accounts"):
                newest = f"SELECT setval('{table}_id_seq', (SELECT MAX(id) FROM {table}))"  # noqa: S608 - our own names
                connection.execute(text(newest))
            connection.execute(text("VACUUM ANALYZE"))
        else:
            connection.execute(text("ANALYZE"))


def _messages(count: int, chance: random.Random, end: datetime) -> Iterator[_Row]:
    words = [word for some in WORDS.values() for word in some]
    people = [(chance.choice(words).capitalize(), f"{_name(chance)}@{_name(chance)}.example") for _ in range(20_000)]
    uids = dict.fromkeys(range(1, ACCOUNTS + 1), 0)
    for number in range(1, count + 1):
        account = min(int(chance.expovariate(5 / ACCOUNTS)) + 1, ACCOUNTS)
        uids[account] += 1
        seen = end - PACE * (count - number)
        yield _message(number, (account, uids[account]), chance, (words, people), (seen, number > count - WAITING))


def _message(
    number: int,
    place: tuple[int, int],
    chance: random.Random,
    parts: tuple[list[str], list[tuple[str, str]]],
    when: tuple[datetime, bool],
) -> _Row:
    words, people = parts
    seen, waits = when
    moment = seen.strftime(MOMENT)
    name, address = people[int(len(people) * chance.random() ** 2)]
    subject = f"{chance.choice(words)} {chance.choice(words)} {chance.choice(words)} {chance.randrange(10**6):06}"
    draw = chance.random()
    state = "archived" if waits else "quarantined" if draw < 0.0005 else "skipped" if draw < 0.02 else "processed"
    code, error = _REASONS[number % 3] if state == "quarantined" else (None, None)
    digest = f"{chance.getrandbits(256):064x}"
    sent = (seen - timedelta(seconds=chance.randrange(3, 300))).strftime(MOMENT)
    done = (seen + timedelta(seconds=chance.randrange(1, 9))).strftime(MOMENT)
    return (
        number, place[0], chance.choice(FOLDERS), 1700000000, place[1], f"{chance.getrandbits(128):032x}", state,
        (0, 1, 1, 1, 1, 1, 1, 1, 1, 2)[number % 10], digest, chance.randrange(2_000, 200_000), f"raw/{digest}", moment,
        "[]", f"<{chance.getrandbits(64):016x}@{address.partition('@')[2]}>", subject, f"{name} <{address}>", sent,
        0 if waits else 1, int(state == "quarantined"), code, error, "1.0" if code else None, "none", moment,
        done if state in ("processed", "skipped") else None,
    )  # fmt: skip


def _name(chance: random.Random) -> str:
    return "".join(chance.choice("abcdefghiklmnoprstuvwz") for _ in range(chance.randrange(5, 11)))


def put(connection: Connection, table: str, names: Sequence[str], rows: Iterable[_Row]) -> None:
    """Many rows, as fast as the database takes them."""
    driver = connection.connection.driver_connection
    columns = ", ".join(f'"{name}"' for name in names)
    if isinstance(driver, sqlite3.Connection):
        marks, left = ", ".join("?" * len(names)), iter(rows)
        while some := list(islice(left, _AT_ONCE)):
            driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", some)  # noqa: S608 - our own names
        return
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)


def _for(connection: Connection, statement: str) -> str:
    if connection.dialect.name == "sqlite":
        return statement.replace("JSONB", "TEXT")
    return statement


def _detail(**facts: object) -> str:
    return f"CAST('{json.dumps(facts)}' AS JSONB)"


_EVENTS: Final = """
INSERT INTO events (id, message_id, account, type, time, subject, sender, archive_key, created_at)
SELECT event_id, messages.id, accounts.name, 'concord.email.received', internal_date, subject, sender,
    'events/' || messages.id, processed_at
FROM messages JOIN accounts ON accounts.id = account_id WHERE state IN ('processed', 'skipped') ORDER BY messages.id
"""
_DELIVERIES: Final = """
INSERT INTO deliveries
    (event_id, message_id, handler, run, state, attempts, failures, due_at, error, created_at, delivered_at)
SELECT event_id, id, {handler}, 0, {state}, 1, 0, processed_at,
    CASE WHEN {state} = 'delivered' THEN NULL ELSE 'The receiver said no (status=500)' END, processed_at,
    CASE WHEN {state} = 'delivered' THEN processed_at END
FROM messages WHERE state = 'processed' {some} ORDER BY id
"""
_RUNS: Final = """
INSERT INTO workflow_runs
    (event_id, message_id, workflow, state, position, attempts, due_at, error, created_at, finished_at)
SELECT event_id, id, 'file', CASE WHEN id % 4000 = 0 THEN 'failed' ELSE 'succeeded' END, 1, 1, processed_at, NULL,
    processed_at, processed_at
FROM messages WHERE state = 'processed' AND id % 20 = 0 ORDER BY id
"""
_STEPS: Final = """
INSERT INTO workflow_steps (run_id, position, name, kind, options, state, attempts, output)
SELECT id, {position}, 'step {position}', 'webhook', CAST('{{}}' AS JSONB), state, 1, CAST('{{}}' AS JSONB)
FROM workflow_runs
"""
_TRAIL: Final = "INSERT INTO trail (message_id, at, what, detail) SELECT {id}, {at}, '{what}', {detail} FROM {rows}"
_FOLDERS: Final = """
INSERT INTO folders (account_id, folder, uidvalidity, last_uid, backfill_low, begun_at)
SELECT account_id, folder, 1700000000, MAX(uid), 1, MIN(seen_at) FROM messages GROUP BY account_id, folder
"""
_FOLLOWING: Final = (
    _FOLDERS,
    _EVENTS,
    _DELIVERIES.format(handler="'log'", state="'delivered'", some=""),
    _DELIVERIES.format(
        handler="CASE WHEN id % 1000 = 0 THEN 'old-crm' ELSE 'crm' END",
        state="CASE WHEN id % 600 = 0 THEN 'dead' WHEN id % 20002 = 0 THEN 'pending' ELSE 'delivered' END",
        some="AND id % 2 = 0",
    ),
    _RUNS,
    _STEPS.format(position=0),
    _STEPS.format(position=1),
    _TRAIL.format(
        id="id", at="seen_at", what="message.archived", detail=_detail(archive_key="raw/0", size=4000), rows="messages"
    ),
    _TRAIL.format(
        id="message_id",
        at="created_at",
        what="message.processed",
        detail=_detail(priority="normal", matched=["all"], handlers=["log"]),
        rows="events",
    ),
    _TRAIL.format(
        id="message_id",
        at="delivered_at",
        what="delivery.delivered",
        detail=_detail(delivery=1, handler="log", run=0, attempt=1),
        rows="deliveries WHERE state = 'delivered'",
    ),
)


def main() -> None:
    """Fill the database that is named."""
    engine = make_engine(DatabaseSettings(url=SecretStr(sys.argv[1])))
    schema.upgrade(engine)
    started = time.monotonic()
    fill(engine, int(sys.argv[2]) if sys.argv[2:] else 1_000_000)
    sys.stdout.write(f"filled in {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
