"""The schema: made by migrations alone, the same on both databases, and never half-way."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select, text

from concord.adapters.sql import identity_tables, key_tables, number_tables, oauth_tables, outbox_tables, schema
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.engine import make_engine, reading, transaction
from concord.adapters.sql.tables import accounts, folders, messages, trail
from concord.errors import DatabaseDownError, SchemaError
from concord.model.account import Priority
from concord.wording import english
from tests.servers.fixtures_database import settings_of
from tests.sql_world import now

# Each module of tables is imported for what it adds to the one description.
TABLES = outbox_tables.rules.metadata
assert {
    table.metadata
    for table in (identity_tables.users, key_tables.key_ring, number_tables.numbers, oauth_tables.oauth_grants)
} == {TABLES}


def test_the_migrations_make_the_tables_that_the_code_describes(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})

        assert compare_metadata(context, TABLES) == []


def test_upgrading_an_upgraded_database_changes_nothing(engine: Engine) -> None:
    before = schema.version(engine)

    schema.upgrade(engine)

    assert schema.version(engine) == before == schema.newest()
    schema.check(engine)


def test_an_empty_database_is_refused_with_the_remedy(empty_engine: Engine) -> None:
    with pytest.raises(SchemaError, match="empty") as caught:
        schema.check(empty_engine)

    assert "concord db upgrade" in english.explain(caught.value)


def test_a_question_to_an_empty_database_says_what_to_do(empty_engine: Engine) -> None:
    with pytest.raises(SchemaError) as caught:
        SqlAccounts(empty_engine, now).all()

    assert "concord db upgrade" in english.explain(caught.value)


def test_a_database_of_an_older_version_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "newest", lambda: "9999")

    with pytest.raises(SchemaError, match="older"):
        schema.check(engine)


@pytest.mark.parametrize("verb", [schema.check, schema.upgrade])
def test_a_database_made_by_a_newer_concord_is_left_alone(engine: Engine, verb: object) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    assert callable(verb)
    with pytest.raises(SchemaError, match="newer Concord") as caught:
        verb(engine)

    assert "Upgrade Concord" in english.explain(caught.value)
    assert schema.version(engine) == "9999"


IMPOSSIBLE = """\
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", {newest!r}, None, None
def upgrade():
    op.execute("INSERT INTO meta (key, value) VALUES ('once', ''), ('once', '')")
"""


def test_a_migration_that_the_data_refuses_is_told_and_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    newest = schema.newest()
    migrations = shutil.copytree(schema._MIGRATIONS, tmp_path / "migrations")
    (migrations / "versions" / "9999_impossible.py").write_text(IMPOSSIBLE.format(newest=newest), encoding="utf-8")
    monkeypatch.setattr(schema, "_MIGRATIONS", migrations)

    with pytest.raises(SchemaError, match="could not be brought up to date") as caught:
        schema.upgrade(engine)

    assert "unique" in english.explain(caught.value).lower()
    assert schema.version(engine) == newest


def test_two_upgrades_at_once_make_one_schema(empty_database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    processes = [spawn.Process(target=_upgrade, args=(empty_database_url, barrier)) for _ in range(2)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    engine = make_engine(settings_of(empty_database_url))
    schema.check(engine)
    engine.dispose()


def _upgrade(url: str, barrier: object) -> None:
    barrier.wait(60)  # type: ignore[attr-defined]  # multiprocessing's Barrier has no public type
    engine = make_engine(settings_of(url))
    schema.upgrade(engine)
    engine.dispose()


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", broken)

    with pytest.raises(OSError, match="disk on fire"):
        schema.upgrade(empty_engine)

    assert inspect(empty_engine).get_table_names() == []


def chain() -> list[str]:
    """Every version that a release had, the oldest first."""
    return [script.revision for script in reversed(list(schema._scripts().walk_revisions()))]


def shape(engine: Engine) -> dict[str, dict[str, str]]:
    """Each table's columns, and what each of them is."""
    found = inspect(engine)
    return {
        table: {column["name"]: f"{column['type']!r} {column['nullable']}" for column in found.get_columns(table)}
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_the_list_of_migrations_has_no_branch() -> None:
    assert len(schema._scripts().get_heads()) == 1


def test_every_migration_step_can_be_stood_at(empty_engine: Engine) -> None:
    for step in chain():
        schema.upgrade(empty_engine, to=step)

        assert schema.version(empty_engine) == step


@pytest.mark.parametrize("older", chain()[:-1])
def test_new_code_refuses_an_older_schema_with_the_remedy(empty_engine: Engine, older: str) -> None:
    schema.upgrade(empty_engine, to=older)

    with pytest.raises(SchemaError, match="older") as caught:
        schema.check(empty_engine)

    assert "concord db upgrade" in english.explain(caught.value)


@pytest.mark.parametrize(("older", "newer"), list(pairwise(chain())))
def test_old_code_works_on_the_next_schema(empty_engine: Engine, older: str, newer: str) -> None:
    """A daemon of the release before may still run when the migration does: all it knows is there, and unchanged.

    What is new in a table that it writes must not be demanded of it.
    """
    schema.upgrade(empty_engine, to=older)
    before = shape(empty_engine)

    schema.upgrade(empty_engine, to=newer)

    after = shape(empty_engine)
    assert {table: {name: after[table].get(name) for name in columns} for table, columns in before.items()} == before
    demanded = [
        f"{table}.{column['name']}"
        for table in before
        for column in inspect(empty_engine).get_columns(table)
        if column["name"] not in before[table] and not column["nullable"] and column["default"] is None
    ]
    assert demanded == []


def test_an_upgrade_keeps_what_is_stored(empty_engine: Engine) -> None:
    schema.upgrade(empty_engine, to="0001")
    with transaction(empty_engine) as connection:
        connection.execute(insert(accounts).values(_old_account("new") | {"name": "kept"}))

    schema.upgrade(empty_engine)

    assert [one.name for one in SqlAccounts(empty_engine, now).all()] == ["kept"]


@pytest.mark.parametrize(("start", "recorded", "expected"), [("new", True, 8), ("new", False, 12), ("all", True, 1)])
def test_an_upgrade_claims_no_mail_from_before_an_account_began(
    empty_engine: Engine, start: str, *, recorded: bool, expected: int
) -> None:
    """O7: what an older version did not write down is not taken for a gap."""
    schema.upgrade(empty_engine, to="0002")
    with transaction(empty_engine) as connection:
        added = insert(accounts).values(_old_account(start)).returning(accounts.c.id)
        account_id = connection.execute(added).scalar_one()
        place = {"account_id": account_id, "folder": "INBOX", "uidvalidity": 7}
        cursor = place | {"last_uid": 11, "backfill_low": 1, "begun_at": now()}
        connection.execute(insert(folders).values(cursor))
        rows = [place | _old_message(uid) for uid in (8, 9)] if recorded else []
        if rows:
            connection.execute(insert(messages), rows)

    schema.upgrade(empty_engine)

    (cursor_now,) = SqlAccounts(empty_engine, now).cursors(account_id).values()
    assert (cursor_now.backfill_low, cursor_now.begun_uid) == (expected, None)


@pytest.mark.parametrize("has_both", [True, False])
def test_an_upgrade_makes_one_folder_of_every_spelling_of_inbox(empty_engine: Engine, *, has_both: bool) -> None:
    """P14: the lower of the cursors stands, and each mail keeps its row."""
    schema.upgrade(empty_engine, to="0008")
    spellings = {"Inbox": (11, (8, 9, 11)), "INBOX": (9, (8,))} if has_both else {"Inbox": (11, (8, 9, 11))}
    with transaction(empty_engine) as connection:
        added = insert(accounts).values(_old_account("all") | {"folders": ["Inbox", "INBOX", "Inbox/Sub"]})
        account_id = connection.execute(added.returning(accounts.c.id)).scalar_one()
        for folder, (last, uids) in {**spellings, "Inbox/Sub": (3, (3,))}.items():
            place = {"account_id": account_id, "folder": folder, "uidvalidity": 7}
            connection.execute(insert(folders).values(place | {"last_uid": last, "backfill_low": 1, "begun_at": now()}))
            connection.execute(insert(messages), [place | _old_message(uid) for uid in uids])

    schema.upgrade(empty_engine)

    stored = SqlAccounts(empty_engine, now)
    assert {name: one.last_uid for name, one in stored.cursors(account_id).items()} == {
        "INBOX": 9 if has_both else 11,
        "Inbox/Sub": 3,
    }
    assert stored.get("old").folders == ("INBOX", "Inbox/Sub")
    with reading(empty_engine) as connection:
        found = connection.execute(select(messages.c.uid).where(messages.c.folder == "INBOX")).scalars()
        assert sorted(found) == [8, 9, 11]


OLD_LINES = {
    "The IMAP server hung up (account=old, host=h, port=993). Check the host, the port and the network; wait": {
        "code": "mailbox_down.hung_up",
        "facts": {"account": "old", "host": "h", "port": "993"},
    },
    "The IMAP server refused the login (answer=[AUTH] No (really). Go away). Check user and password": {
        "code": "mailbox_denied.login",
        "facts": {"answer": "[AUTH] No (really). Go away"},
    },
    "The handler is disabled. Enable the handler; its deliveries go on at once": {
        "code": "handler_disabled",
        "facts": {},
    },
    "It is larger than poll.max_message_bytes": {"code": "oversized", "facts": {}},
    "The archive cannot be read or written (path=/x, cause=I/O (disk) error)": {
        "code": "archive_down.io",
        "facts": {"path": "/x", "cause": "I/O (disk) error"},
    },
    # What no release wrote stays as it is.
    "ValueError: a plugin's own words (x=1)": None,
    "The IMAP server hung up (no facts here": None,
    '{"code": "mailbox_down.cut", "facts": {}}': None,
    "": None,
}


def test_an_upgrade_makes_code_and_facts_of_the_lines_that_rows_keep(empty_engine: Engine) -> None:
    schema.upgrade(empty_engine, to="0013")
    lines = list(OLD_LINES)
    with transaction(empty_engine) as connection:
        account_id = connection.execute(insert(accounts).values(_old_account("new")).returning(accounts.c.id)).scalar()
        place = {"account_id": account_id, "folder": "INBOX", "uidvalidity": 7}
        rows = [place | _old_message(uid) | {"error": line} for uid, line in enumerate([*lines, None], 1)]
        connection.execute(insert(messages), rows)
        connection.execute(
            text("INSERT INTO account_states (account_id, state, last_error) VALUES (:id, 'x', :line)"),
            {"id": account_id, "line": lines[0]},
        )
        message_id = connection.execute(select(messages.c.id).limit(1)).scalar_one()
        details = [{"error": line, "due_at": "soon"} for line in lines] + [{"reason": lines[3], "error": "copy"}, {}]
        steps = [{"message_id": message_id, "at": now(), "what": "x", "detail": detail} for detail in details]
        connection.execute(insert(trail), steps)

    schema.upgrade(empty_engine)

    with reading(empty_engine) as connection:
        stored = connection.execute(select(messages.c.error).order_by(messages.c.uid)).scalars().all()
        state = connection.execute(text("SELECT last_error FROM account_states")).scalar_one()
        told = connection.execute(select(trail.c.detail).order_by(trail.c.id)).scalars().all()
    written = [one["error"] for one in told[: len(lines)]]
    for (line, fault), kept, step in zip(OLD_LINES.items(), stored, written, strict=False):
        assert [kept, step] == [line] * 2 if fault is None else [json.loads(kept), json.loads(step)] == [fault] * 2
    assert stored[-1] is None
    assert json.loads(state) == OLD_LINES[lines[0]]
    assert told[-2]["error"] == "copy"
    assert json.loads(told[-2]["reason"]) == OLD_LINES[lines[3]]
    assert told[-1] == {}


def test_an_interrupted_upgrade_of_lines_is_completed(empty_engine: Engine) -> None:
    """Many batches; the second run meets lines and JSON side by side."""
    schema.upgrade(empty_engine, to="0013")
    old, new = next(iter(OLD_LINES.items()))
    with transaction(empty_engine) as connection:
        account_id = connection.execute(insert(accounts).values(_old_account("new")).returning(accounts.c.id)).scalar()
        place = {"account_id": account_id, "folder": "INBOX", "uidvalidity": 7}
        connection.execute(insert(messages), [place | _old_message(uid) | {"error": old} for uid in range(1, 11_001)])

    schema.upgrade(empty_engine)
    with transaction(empty_engine) as connection:
        connection.execute(text("UPDATE messages SET error = :old WHERE uid > 9000"), {"old": old})
        connection.execute(text("UPDATE alembic_version SET version_num = '0013'"))
    schema.upgrade(empty_engine)

    with reading(empty_engine) as connection:
        assert {json.loads(line) == new for line in connection.execute(select(messages.c.error)).scalars()} == {True}


def _old_account(start: str) -> dict[str, object]:
    words = {"name": "old", "host": "imap.example.com", "tls": "implicit", "login": "old", "auth": "password"}
    return words | {
        "key": uuid4(),
        "port": 993,
        "secret": b"",
        "folders": ["INBOX"],
        "start": start,
        "after": "leave",
        "priority": Priority.NORMAL,
        "enabled": True,
        "created_at": now(),
    }


def _old_message(uid: int) -> dict[str, object]:
    return {
        "uid": uid,
        "event_id": uuid4(),
        "state": "archived",
        "priority": Priority.NORMAL,
        "flags": [],
        "after": "none",
        "seen_at": now(),
    }


def test_a_place_where_no_database_can_be_is_named(tmp_path: Path) -> None:
    engine = make_engine(settings_of(f"sqlite:///{tmp_path / 'nowhere' / 'concord.db'}"))

    with pytest.raises(DatabaseDownError) as caught:
        schema.upgrade(engine)

    assert "nowhere/concord.db" in english.explain(caught.value)
