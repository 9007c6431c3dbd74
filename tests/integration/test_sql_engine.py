"""The border to the database: what goes wrong there is one of our errors, names the place, and tells no secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
from sqlalchemy import Engine, text

from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.connections import SqlConnections
from concord.adapters.sql.engine import make_engine, place, reading, transaction
from concord.adapters.sql.ledger import SqlLedger
from concord.errors import ConcordError, DatabaseDownError, InfrastructureError
from concord.model.account import Account
from concord.wording import english
from tests.servers.fixtures_database import settings_of
from tests.servers.postgres import PostgresServer
from tests.sql_world import MINUTE, START, StandingClock, World, account, now, seen


def told(error: BaseException | None) -> str:
    """All that a log with a traceback would show of it."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error}" + (english.explain(error) if isinstance(error, ConcordError) else ""))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


# SQLite.


@pytest.fixture
def file_engine(tmp_path: Path, sqlite_template: bytes) -> Iterator[Engine]:
    """A SQLite file with the present schema, and little patience."""
    file = tmp_path / "concord.db"
    file.write_bytes(sqlite_template)
    engine = make_engine(settings_of(f"sqlite:///{file}", busy_timeout=1))
    yield engine
    engine.dispose()


def test_a_commit_on_sqlite_survives_a_power_cut(file_engine: Engine) -> None:
    """P4: the mail may be deleted on the server right after."""
    asked = ("journal_mode", "synchronous", "foreign_keys")

    with reading(file_engine) as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]

    assert found == ["wal", 2, 1]


@pytest.mark.parametrize("where", ["missing/concord.db", "", "/proc/concord.db"])
def test_a_place_that_holds_no_sqlite_file_is_named(tmp_path: Path, where: str) -> None:
    engine = make_engine(settings_of(f"sqlite:///{tmp_path / where}"))

    with pytest.raises(DatabaseDownError) as caught:
        SqlAccounts(engine, now).all()

    assert str(tmp_path / where) in english.explain(caught.value)
    assert isinstance(caught.value, InfrastructureError)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database at all, but long enough to look at" * 50, encoding="ascii")

    with pytest.raises(DatabaseDownError) as caught:
        SqlAccounts(make_engine(settings_of(f"sqlite:///{file}")), now).all()

    assert "notes.txt" in english.explain(caught.value)


def test_a_database_that_may_only_be_read_is_down_for_writing(tmp_path: Path, sqlite_template: bytes) -> None:
    file = tmp_path / "concord.db"
    file.write_bytes(sqlite_template)
    engine = make_engine(settings_of(f"sqlite:///file:{file}?mode=ro&uri=true"))

    with pytest.raises(DatabaseDownError) as caught:
        SqlAccounts(engine, now).add(account())

    assert str(file) in english.explain(caught.value)
    engine.dispose()


def test_a_full_disk_is_infrastructure(file_engine: Engine) -> None:
    """O6: SQLite's own page limit says the same as a full disk."""
    with reading(file_engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(DatabaseDownError, match="did not do it") as caught:
        SqlAccounts(file_engine, now).add(account(ca_file="x" * 100_000))

    assert "full" in english.explain(caught.value)


def test_a_locked_database_is_infrastructure_and_readers_go_on(file_engine: Engine) -> None:
    with transaction(file_engine) as connection:
        connection.execute(text("DELETE FROM meta"))

        with pytest.raises(DatabaseDownError) as caught:
            SqlAccounts(file_engine, now).add(account())

        assert SqlAccounts(file_engine, now).all() == []
    assert "locked" in english.explain(caught.value)


def test_many_that_open_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    """Daemons that start together: SQLite refuses all but one of those that make it write ahead, and waits for none."""
    failed: list[BaseException] = []

    def first_use(file: Path, go: Barrier) -> None:
        engine = make_engine(settings_of(f"sqlite:///{file}"))
        go.wait()
        try:
            with transaction(engine) as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (x)")
        except ConcordError as error:
            failed.append(error)
        finally:
            engine.dispose()

    for number in range(40):
        go = Barrier(4)
        threads = [Thread(target=first_use, args=(tmp_path / f"{number}.db", go)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert failed == []


# PostgreSQL.


def test_a_wrong_password_is_told_without_any_password(postgres_server: PostgresServer) -> None:
    """A3."""
    engine = make_engine(settings_of(postgres_server.url(password="hunter2-wrong")))

    with pytest.raises(DatabaseDownError) as caught:
        SqlAccounts(engine, now).all()

    assert "password authentication failed" in english.explain(caught.value)
    assert f"127.0.0.1:{postgres_server.port}" in english.explain(caught.value)
    assert "hunter2" not in told(caught.value)


@pytest.mark.parametrize("address", ["postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@no.invalid/x"])
def test_a_server_that_is_not_there_is_down(address: str) -> None:
    with pytest.raises(DatabaseDownError) as caught:
        SqlAccounts(make_engine(settings_of(address)), now).all()

    assert "hunter2" not in told(caught.value)
    assert "/x" in english.explain(caught.value)


def test_a_password_in_the_query_is_not_shown_either() -> None:
    engine = make_engine(settings_of("postgresql://u@127.0.0.1:1/x?password=hunter2&sslmode=disable"))

    assert place(engine) == "postgresql://u@127.0.0.1:1/x"


def test_a_forbidden_table_is_told_as_infrastructure(postgres_url: str) -> None:
    engine = make_engine(settings_of(postgres_url))

    def work() -> None:
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL ROLE pg_monitor"))
            connection.execute(text("SELECT * FROM accounts"))

    with pytest.raises(DatabaseDownError) as caught:
        work()
    assert "permission denied" in english.explain(caught.value)
    engine.dispose()


def test_a_server_that_comes_back_is_used_again(own_postgres: PostgresServer) -> None:
    engine = make_engine(settings_of(own_postgres.url()))

    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))
    own_postgres.stop()
    with pytest.raises(DatabaseDownError), reading(engine) as connection:
        connection.execute(text("SELECT 1"))
    own_postgres.start()

    with reading(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_server_that_goes_in_the_middle_of_a_transaction_is_down(own_postgres: PostgresServer) -> None:
    engine = make_engine(settings_of(own_postgres.url()))

    def work() -> None:
        with transaction(engine) as connection:
            connection.execute(text("SELECT 1"))
            own_postgres.stop()
            connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseDownError):
        work()
    engine.dispose()


def test_a_session_says_who_it_is_and_lets_nothing_last_for_ever(postgres_url: str) -> None:
    engine = make_engine(settings_of(postgres_url))

    with reading(engine) as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("application_name", "statement_timeout", "lock_timeout", "timezone")
        }

    assert shown == {
        "application_name": "concord",
        "statement_timeout": "1min",
        "lock_timeout": "30s",
        "timezone": "UTC",
    }
    engine.dispose()


def test_a_deadlock_is_worth_another_try(postgres_url: str) -> None:
    engine = make_engine(settings_of(postgres_url))
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', ''), ('b', '')"))
    outcomes: list[BaseException | None] = []

    def cross(first: str, second: str) -> None:
        try:
            with transaction(engine) as connection:
                for key in (first, second):
                    connection.execute(text("UPDATE meta SET value = value WHERE key = :key"), {"key": key})
                    connection.execute(text("SELECT pg_sleep(0.2)"))
        except DatabaseDownError as error:
            outcomes.append(error)

    threads = [Thread(target=cross, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    [lost] = outcomes
    assert "deadlock" in told(lost)
    engine.dispose()


# Both.


def test_no_error_tells_the_values_that_were_written(world: World) -> None:
    """A3: a traceback shows the statement, never its parameters."""
    with transaction(world.engine) as connection:
        connection.execute(text("ALTER TABLE accounts RENAME COLUMN ca_file TO gone"))

    with pytest.raises(ConcordError) as caught:
        world.accounts.add(Account(name="new", host="h", user="u", secret=b"hunter2-sealed"))

    assert "hunter2" not in told(caught.value)


def test_a_transaction_that_fails_leaves_nothing(world: World) -> None:
    def work() -> None:
        with transaction(world.engine) as connection:
            connection.execute(text("INSERT INTO meta (key, value) VALUES ('x', 'y')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()

    with reading(world.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM meta WHERE key = 'x'")).scalar() == 0


def driver(engine: Engine) -> int:
    """Which of the driver's connections is used."""
    with reading(engine) as connection:
        return id(connection.connection.driver_connection)


def test_a_forked_child_gets_connections_of_its_own(world: World) -> None:
    """Trap 31: the parent's connection works on after the child has used the database and died."""
    [ref] = world.record([seen(1)])
    ours = driver(world.engine)

    child = os.fork()
    if child == 0:
        own = driver(world.engine) != ours
        done = SqlLedger(world.engine, world.clock).claim([ref.id], until=START + MINUTE)
        os._exit(0 if own and len(done) == 1 else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert driver(world.engine) == ours
    assert world.ledger.get(ref.id).attempts == 1


def test_a_writer_on_sqlite_that_reads_first_is_not_overtaken(file_engine: Engine) -> None:
    """A transaction begun as a reader could not become a writer once another had written."""
    done = Event()

    def overtake() -> None:
        with transaction(file_engine) as connection:
            connection.execute(text("INSERT INTO meta (key, value) VALUES ('b', '')"))
        done.set()

    other = Thread(target=overtake)
    with transaction(file_engine) as connection:
        connection.execute(text("SELECT count(*) FROM meta"))
        other.start()
        overtaken = done.wait(0.2)
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', '')"))
    other.join(30)

    assert not overtaken
    assert done.is_set()


def test_writers_in_many_threads_wait_for_each_other(world: World) -> None:
    slots = SqlConnections(world.engine, StandingClock())
    threads = [
        Thread(target=slots.acquire, args=("h", "a"), kwargs={"per_login": 99, "per_host": 99, "until": START + MINUTE})
        for _ in range(24)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    with reading(world.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM connection_slots")).scalar() == 24
