"""`concord secrets protect-redis`: the Redis of this machine gets a password, and Concord's settings have it (18)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from concord.adapters.redis import connect, is_open
from concord.settings import load
from tests.fakes.command import Command
from tests.servers.redis import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def run(tmp_path: Path, credentials: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "concord.toml").write_text(
        f'database.url = "sqlite:///{tmp_path}/concord.db"\narchive.path = "{tmp_path}/archive"\n'
        f'redis.url = "{server.url}"\n'
    )
    monkeypatch.setenv("CONCORD_CONFIG", str(tmp_path / "concord.toml"))
    monkeypatch.setenv("CONCORD_CREDENTIALS", str(credentials))
    command = Command()
    assert command("secrets", "init").code == 0
    assert command("db", "upgrade").code == 0
    return command


def protect(run: Command, *more: str) -> str:
    """What it says on standard output; it must succeed."""
    answer = run("secrets", "protect-redis", *more)
    assert answer.code == 0, answer.err
    return answer.out


def written_password(server: RedisServer) -> str:
    """The one in Redis' own configuration, which it reads at its next start."""
    lines = (server.folder / "redis.conf").read_text(encoding="utf-8").splitlines()
    return next(line.split()[1].strip('"') for line in lines if line.startswith("requirepass"))


def test_redis_asks_for_a_password_that_only_concords_user_reads(
    run: Command, server: RedisServer, credentials: Path
) -> None:
    said = protect(run)

    file = credentials / "redis__url"
    settings = load().redis
    assert not is_open(settings)
    with connect(settings) as client:
        assert client.ping()
    assert written_password(server) in file.read_text(encoding="ascii")
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in credentials.iterdir()} == {"redis__url", "secret_key"}
    assert str(file) in said
    assert "systemctl restart" in said
    assert written_password(server) not in said


def test_second_run_changes_nothing(run: Command, server: RedisServer) -> None:
    protect(run)
    before = written_password(server)

    again = run("secrets", "protect-redis")

    assert again.code == 2
    assert "has a login already" in again.err
    assert written_password(server) == before


@pytest.mark.parametrize("lost", ["Redis' own note", "Concord's own note"])
def test_killed_run_is_completed_by_the_next_with_the_same_password(
    run: Command, server: RedisServer, credentials: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if lost == "Concord's own note":
            patch.setattr(Path, "replace", kill)
        else:
            rewrite, calls = redis.Redis.config_rewrite, []

            def counted(client: redis.Redis) -> object:
                calls.append(client)
                if len(calls) == 2:
                    kill()
                return rewrite(client)

            patch.setattr(redis.Redis, "config_rewrite", counted)
        run("secrets", "protect-redis")
    assert not (credentials / "redis__url").exists()
    pending = (credentials / ".redis__url.new").read_text(encoding="ascii")

    protect(run)

    assert (credentials / "redis__url").read_text(encoding="ascii") == pending
    assert written_password(server) in pending


@pytest.mark.parametrize("elsewhere", [False, True])
def test_run_killed_before_redis_was_asked_starts_again(
    run: Command, server: RedisServer, credentials: Path, *, elsewhere: bool
) -> None:
    port = 1 if elsewhere else server.port
    (credentials / ".redis__url.new").write_text(f"redis://:never-set@127.0.0.1:{port}/0\n", encoding="ascii")

    protect(run)

    assert "never-set" not in (credentials / "redis__url").read_text(encoding="ascii")


@pytest.mark.parametrize("more", [[], ["--shared"]])
def test_password_of_a_killed_run_is_kept_where_redis_asks_for_another(
    run: Command, server: RedisServer, credentials: Path, more: list[str]
) -> None:
    pending = credentials / ".redis__url.new"
    pending.write_text(server.url.replace("://", "://:first@"), encoding="ascii")
    with server.client() as client:
        client.config_set("requirepass", "another")

    refused = run("secrets", "protect-redis", *more)

    assert refused.code == 1
    assert ":first@" in pending.read_text(encoding="ascii")


def test_others_are_not_shut_out_unasked(run: Command, server: RedisServer) -> None:
    with redis.Redis(port=server.port, db=3) as other:
        other.set("theirs", "1")

    refused = run("secrets", "protect-redis")

    assert (refused.code, is_open(load().redis)) == (2, True)
    assert "databases: 3" in refused.err
    assert "--shared" in refused.err
    protect(run, "--shared")
    assert not is_open(load().redis)


def test_redis_that_would_forget_it_is_left_without(
    run: Command, credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_client: redis.Redis) -> None:
        raise redis.ResponseError("The server is running without a config file")

    monkeypatch.setattr(redis.Redis, "config_rewrite", refuse)

    refused = run("secrets", "protect-redis")

    assert refused.code == 2
    assert "without a config file" in refused.err
    assert is_open(load().redis)
    assert [path.name for path in credentials.iterdir()] == ["secret_key"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://cache.example.com:6379/0", "another host"),
        ("unix:///run/redis/redis.sock?db=0", "at a socket"),
        ("sentinel://localhost:26379/0", "another host"),
        ("redis://concord:word@localhost:6379/0", "has a login already"),
    ],
)
def test_address_that_cannot_be_changed_from_here_is_refused(
    run: Command, credentials: Path, url: str, words: str
) -> None:
    (credentials / "redis__url").write_text(url, encoding="ascii")

    refused = run("secrets", "protect-redis")

    assert refused.code == 2
    assert words in refused.err


def test_variable_that_is_stronger_than_the_file_is_named(
    run: Command, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCORD_REDIS__URL", server.url)

    refused = run("secrets", "protect-redis")

    assert refused.code == 2
    assert "Take CONCORD_REDIS__URL out" in refused.err
