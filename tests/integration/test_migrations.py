"""The schema: made by migrations alone, the same on both databases, and never half-way."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from concord.adapters.sql import outbox_tables, schema
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.engine import make_engine, transaction
from concord.errors import DatabaseDownError, SchemaError
from tests.servers.fixtures_database import settings_of
from tests.sql_world import now


def test_the_migrations_make_the_tables_that_the_code_describes(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})

        assert compare_metadata(context, outbox_tables.rules.metadata) == []


def test_upgrading_an_upgraded_database_changes_nothing(engine: Engine) -> None:
    before = schema.version(engine)

    schema.upgrade(engine)

    assert schema.version(engine) == before == schema.newest()
    schema.check(engine)


def test_an_empty_database_is_refused_with_the_remedy(empty_engine: Engine) -> None:
    with pytest.raises(SchemaError, match="empty") as caught:
        schema.check(empty_engine)

    assert "concord db upgrade" in caught.value.explain()


def test_a_question_to_an_empty_database_says_what_to_do(empty_engine: Engine) -> None:
    with pytest.raises(SchemaError) as caught:
        SqlAccounts(empty_engine, now).all()

    assert "concord db upgrade" in caught.value.explain()


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

    assert "Upgrade Concord" in caught.value.explain()
    assert schema.version(engine) == "9999"


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


def test_every_migration_step_can_be_stood_at(empty_engine: Engine) -> None:
    """The harness for mixed versions: code of each release against the schema of its neighbours.

    With one migration there is no neighbour: it proves that the list has no branch and that the oldest step alone is
    a whole schema. The second migration adds to `STEPS` what the code of the release before must still be able to do.
    """
    chain = [script.revision for script in reversed(list(schema._scripts().walk_revisions()))]

    schema.upgrade(empty_engine, to=chain[0])

    assert schema.version(empty_engine) == chain[0]
    assert len(schema._scripts().get_heads()) == 1


def test_a_place_where_no_database_can_be_is_named(tmp_path: Path) -> None:
    engine = make_engine(settings_of(f"sqlite:///{tmp_path / 'nowhere' / 'concord.db'}"))

    with pytest.raises(DatabaseDownError) as caught:
        schema.upgrade(engine)

    assert "nowhere/concord.db" in caught.value.explain()
