"""Migrations of big tables: writers go on, a long query holds up nobody else, an interrupted upgrade is completed."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.errors import SchemaError
from tests.servers.fixtures_database import settings_of
from tests.waiting import eventually

ROWS = 30_000
CHANGE = """\
import sqlalchemy as sa
from concord.adapters.sql.migrations import online
revision, down_revision, branch_labels, depends_on = "9999", {newest!r}, None, None
def upgrade():
    online.add_columns("big", sa.Column("note", sa.String()), sa.Column("done", sa.Boolean(), nullable=False,
                       server_default=sa.false()))
    online.update_rows("big", "note = 'old'", where="note IS NULL AND id <= {rows}")
    online.create_index("ix_big_note", "big", ["note", "id"], where="note = 'old'")
    online.create_index("ix_big_word", "big", ["word"], unique=True)
"""

REWRITE = """\
from alembic import op
from sqlalchemy import text
from concord.adapters.sql.migrations import online
revision, down_revision, branch_labels, depends_on = "9999", {newest!r}, None, None
def rewrite(word):
    if word == "word 7":
        with op.get_bind().engine.begin() as other:
            other.execute(text("UPDATE big SET word = 'written meanwhile' WHERE word = 'word 7'"))
    return word.upper()
def upgrade():
    online.rewrite_texts("big", "word", rewrite, where="word LIKE 'word %'")
"""
NEWEST = schema.newest()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """Where the copy of the migrations is that `big` makes."""
    return tmp_path / "migrations"


@pytest.fixture
def big(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    """A database with a big table and a migration that changes it."""
    with engine.begin() as connection:
        key = "BIGSERIAL" if engine.dialect.name == "postgresql" else "INTEGER"
        connection.execute(text(f"CREATE TABLE big (id {key} PRIMARY KEY, word TEXT NOT NULL)"))
        rows = [{"word": f"word {number}"} for number in range(ROWS)]
        connection.execute(text("INSERT INTO big (word) VALUES (:word)"), rows)
    newest = schema.newest()
    migrations = shutil.copytree(schema._MIGRATIONS, tmp_path / "migrations")
    change = CHANGE.format(newest=newest, rows=ROWS)
    (migrations / "versions" / "9999_big.py").write_text(change, encoding="utf-8")
    monkeypatch.setattr(schema, "_MIGRATIONS", migrations)
    return engine


@contextmanager
def writing(url: str) -> Iterator[list[float]]:
    """Insert and update in the big table over and over; the seconds that each transaction took."""
    engine = make_engine(settings_of(url))
    took: list[float] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            began = time.monotonic()
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO big (word) VALUES (:word)"), {"word": f"new {number}"})
                connection.execute(text("UPDATE big SET word = word WHERE id = :id"), {"id": number % ROWS + 1})
            took.append(time.monotonic() - began)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert eventually(lambda: len(took) > 5)
        yield took
    finally:
        stop.set()
        writer.join()
        engine.dispose()


def indexes(engine: Engine) -> set[str | None]:
    return {index["name"] for index in inspect(engine).get_indexes("big")}


def test_a_big_table_changes_while_others_write_to_it(big: Engine, database_url: str) -> None:
    with writing(database_url) as took:
        schema.upgrade(big)
        count = len(took)
        assert eventually(lambda: len(took) > count + 5)

    assert indexes(big) >= {"ix_big_note", "ix_big_word"}
    with big.begin() as connection:
        old = connection.execute(text("SELECT count(*) FROM big WHERE note = 'old'")).scalar()
        assert old == ROWS
        assert connection.execute(text("SELECT count(*) FROM big")).scalar() == ROWS + len(took)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_long_query_delays_the_migration_and_not_the_writers(big: Engine, database_url: str) -> None:
    """An ALTER TABLE that waits for a lock holds up everybody behind it: it may not wait for long at a time."""
    reader = make_engine(settings_of(database_url))
    with reader.connect() as looking, writing(database_url) as took:
        looking.execute(text("SELECT count(*) FROM big")).all()
        upgrade = threading.Thread(target=schema.upgrade, args=(big,))
        upgrade.start()
        time.sleep(5)
        still = upgrade.is_alive()
        looking.rollback()
        upgrade.join(60)
    reader.dispose()

    assert still
    assert schema.version(big) == "9999"
    assert max(took) < 4


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_text_that_somebody_writes_during_its_rewriting_stays(big: Engine, migrations: Path) -> None:
    """Read as `word 7`, written by another connection, and then not overwritten."""
    (migrations / "versions" / "9999_big.py").write_text(REWRITE.format(newest=NEWEST), encoding="utf-8")

    schema.upgrade(big)

    with big.connect() as connection:
        assert connection.execute(text("SELECT word FROM big WHERE id = 8")).scalar() == "written meanwhile"
        left = connection.execute(text("SELECT count(*) FROM big WHERE word LIKE 'word %'")).scalar()
        assert (left, connection.execute(text("SELECT count(*) FROM big WHERE word LIKE 'WORD %'")).scalar()) == (
            0,
            ROWS - 1,
        )


def test_an_interrupted_upgrade_is_completed_by_the_next(big: Engine) -> None:
    """The first one leaves its columns, some changed rows, and an index that PostgreSQL calls invalid."""
    with big.begin() as connection:
        connection.execute(text("INSERT INTO big (id, word) VALUES (1000000, 'word 1')"))

    with pytest.raises((SchemaError, IntegrityError)):
        schema.upgrade(big)
    with big.begin() as connection:
        connection.execute(text("DELETE FROM big WHERE id = 1000000"))
    schema.upgrade(big)

    assert schema.version(big) == "9999"
    assert indexes(big) >= {"ix_big_note", "ix_big_word"}
    if big.dialect.name == "postgresql":
        with big.connect() as connection:
            wrong = connection.execute(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")).scalar()
        assert wrong == 0
