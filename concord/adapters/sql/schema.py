"""The schema's version: bringing the database up to it, and saying where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from concord.adapters.sql.engine import first_line, is_down, place, reading, transaction, translated
from concord.errors import SchemaError

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Any number that is the same in every Concord: two upgrades of one database take turns.
_LOCK: Final = 0x636F6E63
_TURN_PAUSE: Final = 0.2


def upgrade(engine: Engine, to: str = "head") -> str:
    """Bring the schema up to a version, by default this Concord's; the one it then has.

    Others may go on writing meanwhile. An upgrade that fails is completed by the next one: on SQLite it leaves nothing
    behind, on PostgreSQL at most some changes of the migration that failed (`migrations/online.py`).
    """
    found = version(engine)
    with _turn(engine) as connection, _translate_refusal(engine, found):
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    return version(engine) or ""


@contextmanager
def _turn(engine: Engine) -> Iterator[Connection]:
    """A connection to migrate on, while no other upgrade of this database runs. Refuses a newer schema."""
    if engine.dialect.name != "postgresql":
        with transaction(engine) as connection:
            _refuse_newer(engine, _current(connection))
            yield connection
        return
    with translated(engine), engine.connect() as guard, engine.connect() as connection:
        _take_turn(guard)
        _refuse_newer(engine, _current(guard))
        # Building an index may take longer than any query should.
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.commit()
        try:
            yield connection
        finally:
            # Its session settings end with it.
            connection.invalidate()
            guard.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")


def _take_turn(guard: Connection) -> None:
    """Wait for other upgrades without a transaction: CREATE INDEX CONCURRENTLY waits for all that are open."""
    guard.execution_options(isolation_level="AUTOCOMMIT")
    while not guard.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCK})").scalar():
        time.sleep(_TURN_PAUSE)


def check(engine: Engine) -> None:
    """Raise SchemaError where the database is not at the version that this Concord needs."""
    found = version(engine)
    if found == newest():
        return
    _refuse_newer(engine, found)
    if found is None:
        raise SchemaError("empty", database=place(engine), needed=newest())
    raise SchemaError("older", database=place(engine), found=found, needed=newest())


def version(engine: Engine) -> str | None:
    """Where the database stands; None where it has no schema yet."""
    with reading(engine) as connection:
        return _current(connection)


def newest() -> str:
    """The version that this Concord needs."""
    head = _scripts().get_current_head()
    assert head is not None  # noqa: S101 - the package is never shipped without migrations
    return head


@contextmanager
def _translate_refusal(engine: Engine, found: str | None) -> Iterator[None]:
    """Name a migration's failure with a remedy that fits: 'run concord db upgrade' would not."""
    try:
        yield
    except DBAPIError as error:
        if is_down(error):
            raise
        raise SchemaError(
            "upgrade_failed", database=place(engine), found=found, needed=newest(), cause=first_line(error.orig)
        ) from error


def _refuse_newer(engine: Engine, found: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError("newer", database=place(engine), found=found, needed=newest())


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    # ConfigParser reads % as the start of a reference.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
