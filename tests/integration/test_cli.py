"""The command on a real database, a real Redis and a real Dovecot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from concord.adapters.sql import schema, sealed
from concord.adapters.vault import KeySet
from concord.bootstrap import Concord
from concord.errors import ConcordError
from concord.model.account import Account
from concord.model.audit import AuditFilter
from concord.model.binding import of_password
from concord.settings import load
from tests.factories import mail
from tests.fakes.command import Answer, Command
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.waiting import INTERRUPTIBLE, eventually

MAILS = Path(__file__).parents[1] / "mails"
PASSWORD = "Hemmelig-4711"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "credentials" / "secret_key"


@pytest.fixture
def run(tmp_path: Path, key: Path, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Each command reads its settings anew, as a process of its own does; the first two made key and schema."""
    key.parent.mkdir(mode=0o700)
    (tmp_path / "concord.toml").write_text(
        f'database.url = "sqlite:///{tmp_path}/concord.db"\narchive.path = "{tmp_path}/archive"\n'
        f'redis.url = "{empty_redis.url}"\npoll.spool_directory = "{tmp_path}/spool"\n'
    )
    monkeypatch.setenv("CONCORD_CONFIG", str(tmp_path / "concord.toml"))
    monkeypatch.setenv("CONCORD_CREDENTIALS", str(key.parent))
    command = Command()
    assert command("secrets", "init").code == 0
    assert command("db", "upgrade").code == 0
    return command


@pytest.fixture
def concord(run: Command) -> Iterator[Concord]:
    """The same parts, for looking."""
    made = Concord(load())
    yield made
    made.engine.dispose()


def add(run: Command, name: str, *options: str) -> Answer:
    answer = run(
        *("account", "add", name, "--host", "mail.example.com", "--user", name, "--password-stdin"),
        *options,
        stdin=PASSWORD,
    )
    assert answer.code == 0, answer.err
    return answer


def test_sync_counts_what_changed_and_then_nothing(run: Command, concord: Concord) -> None:
    """P2; issue 2, the third line of what it shows. The accounts change behind the schedule's back."""
    concord.accounts.add(_account("kept"))
    concord.accounts.add(_account("changed"))
    gone = concord.accounts.add(_account("removed"))
    run("sync-email-tasks")
    for name in ("first", "second"):
        concord.accounts.add(_account(name))
    concord.accounts.save(replace(concord.accounts.get("changed"), interval=120))
    concord.accounts.remove(gone.name)

    first, second = run("sync-email-tasks", "--json").json, run("sync-email-tasks", "--json").json

    assert first == {"added": 2, "removed": 1, "updated": 1, "total": 4}
    assert second == {"added": 0, "removed": 0, "updated": 0, "total": 4}


def test_every_change_of_an_account_reaches_the_schedule(run: Command) -> None:
    """P2: the command syncs by itself, so that another sync finds nothing to do."""
    changes = (
        ("account", "edit", "one", "--interval", "90"),
        ("account", "disable", "one"),
        ("account", "enable", "one"),
        ("account", "remove", "one"),
    )
    add(run, "one")
    for change in changes:
        assert run(*change).code == 0

        stats = run("sync-email-tasks", "--json").json
        assert (stats["added"], stats["removed"], stats["updated"]) == (0, 0, 0), change


def test_account_is_tested_and_polled_on_a_real_server(run: Command, dovecot: Dovecot, mailbox_user: str) -> None:
    """A4, P3, P4."""
    dovecot.deliver(mailbox_user, mail("From the real server"))
    options = ["--host", dovecot.host, "--port", str(dovecot.imaps_port), "--user", mailbox_user, "--start", "all"]
    added = run(
        *("account", "add", "real", *options, "--ca-file", dovecot.ca_file, "--password-stdin"),
        stdin=dovecot.passwords[mailbox_user],
    )

    tested, polled = run("account", "test", "real"), run("poll", "real", "--json")

    assert added.code == 0, added.err
    assert tested.code == 0, tested.out + tested.err
    assert (polled.json["outcome"], polled.json["archived"]) == ("done", 1)
    [message] = run("message", "list", "--json").json
    assert message["subject"] == "From the real server"


def test_untrusted_certificate_is_told_with_its_remedy(run: Command, dovecot: Dovecot) -> None:
    """A4."""
    dovecot.start()
    add(run, "real", "--host", dovecot.host, "--port", str(dovecot.imaps_port))

    answer = run("account", "test", "real")

    assert answer.code == 1
    assert "✗ tls" in answer.out
    assert "--ca-file" in answer.out
    assert PASSWORD not in answer.out + answer.err


def test_configuration_that_works_is_all_ticks(run: Command) -> None:
    answer = run("config", "check", "--json")

    assert [(one["name"], one["ok"]) for one in answer.json] == [
        ("settings", True),
        ("time limits", True),
        ("secrets", True),
        ("key", True),
        ("database", True),
        ("key and database", True),
        ("redis", True),
        ("archive", True),
        ("spool", True),
    ]
    assert answer.code == 0


def test_spool_that_cannot_be_written_is_found(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll would find it otherwise, at the first big mail."""
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("CONCORD_POLL__SPOOL_DIRECTORY", str(tmp_path / "file" / "spool"))

    answer = run("config", "check", "--json")

    assert [one["name"] for one in answer.json if not one["ok"]] == ["spool"]
    assert answer.code == 1


def test_archive_is_checked_and_another_one_adopted_on_purpose(run: Command, tmp_path: Path) -> None:
    """P4: a disk that is not mounted looks like an empty archive; only a person can say that it is right."""
    ours = run("archive", "check", "--json")
    assert (ours.code, ours.json["ours"]) == (0, True)
    (tmp_path / "archive").rename(tmp_path / "elsewhere")

    gone = run("archive", "check")
    adopted = run("archive", "adopt", "--json")

    assert gone.code != 0
    assert "archive adopt" in gone.err
    assert (adopted.code, adopted.json["ours"]) == (0, True)
    assert adopted.json["marker"] != ours.json["marker"]
    assert (
        run("archive", "check").out
        == f"The archive at {tmp_path}/archive is this database's own (id {adopted.json['marker']}).\n"
    )


def test_shown_settings_can_be_read_again(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_POLL__INTERVAL", "77")
    monkeypatch.setenv("CONCORD_DATABASE__URL", f"postgresql://me:{PASSWORD}@db.example.com/concord")

    shown, document = run("config", "show").out, run("config", "show", "--json").json

    assert PASSWORD not in shown
    assert "interval = 77  # environment CONCORD_POLL__INTERVAL" in shown
    assert document["database.url"]["value"] == "postgresql://me:***@db.example.com/concord"
    assert document["secret_key"] == {"value": "[hidden]", "from": "credential secret_key"}
    again = tmp_path / "again.toml"
    again.write_text(shown.replace('"[hidden]"', '"x"'))
    monkeypatch.setenv("CONCORD_CONFIG", str(again))
    assert load().poll.interval == 77


@pytest.mark.parametrize(
    "url", ["redis://:p@ss/w#rd@h:1/0", "redis://me:p@ss/w#rd@h/0", "unix:///s?password=p@ss/w#rd"]
)
def test_password_of_any_characters_is_hidden(run: Command, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CONCORD_REDIS__URL", url)

    shown = run("config", "show", "--json").json["redis.url"]["value"]

    assert "ss/w" not in shown
    assert "w#rd" not in shown


def test_every_mail_of_the_corpus_is_parsed_as_written(run: Command) -> None:
    """P6, P7: what the command prints is the event the corpus expects, without the ledger's facts."""
    for file in sorted(MAILS.glob("*.eml"))[::8]:
        expected = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))

        parsed = run("message", "parse", str(file)).json

        assert {key: parsed["data"][key] for key in ("subject", "from", "text", "defects") if key in expected} == {
            key: expected[key] for key in ("subject", "from", "text", "defects") if key in expected
        }, file.name


def test_key_is_made_once_and_for_its_owner_only(run: Command, key: Path) -> None:
    before = key.read_text()

    again = run("secrets", "init")

    assert again.code == 2
    assert key.read_text() == before
    assert key.stat().st_mode & 0o777 == 0o600


def test_rotation_seals_all_anew_while_others_read(run: Command, concord: Concord, key: Path) -> None:
    """A3: online. A process that holds the old key goes on opening."""
    for number in range(20):
        add(run, f"box{number}")
    old = key.read_text().strip()
    stop, troubles, reads = threading.Event(), list[ConcordError](), 0

    def keep_reading() -> None:
        nonlocal reads
        while not stop.is_set():
            for account in concord.accounts.all():
                try:
                    assert concord.vault.unseal(account.secret, of_password(account)) == PASSWORD
                    reads += 1
                except ConcordError as error:
                    troubles.append(error)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        assert eventually(lambda: reads > 20)
        answers = [run("secrets", "rotate", "--json") for _ in range(3)]
    finally:
        stop.set()
        reader.join()

    assert troubles == []
    assert [(one.code, one.json["accounts"]) for one in answers] == [(0, 20)] * 3
    assert old not in key.read_text()
    assert len(key.read_text().split()) == 1
    assert key.stat().st_mode & 0o777 == 0o600
    assert run("secrets", "check").code == 0


@pytest.mark.parametrize("died_after", [0, 1, 2])
def test_rotation_killed_half_way_is_done_again(
    run: Command, concord: Concord, key: Path, monkeypatch: pytest.MonkeyPatch, died_after: int
) -> None:
    """A3: at every row it can stop, all secrets still open, and the next one ends with one key."""
    for name in ("one", "two", "three"):
        add(run, name)
    real, calls = KeySet.reseal, 0

    def dying(keys: KeySet, secret: bytes, where: bytes) -> bytes:
        nonlocal calls
        calls += 1
        if calls > died_after:
            raise KeyboardInterrupt
        return real(keys, secret, where)

    with monkeypatch.context() as patched:
        patched.setattr(KeySet, "reseal", dying)
        assert run("secrets", "rotate").code == 130
    half_way = run("secrets", "check")
    again = run("secrets", "rotate")

    assert (half_way.code, again.code) == (0, 0), half_way.err + again.err
    assert len(key.read_text().split()) == 1
    assert all(
        concord.vault.unseal(account.secret, of_password(account)) == PASSWORD for account in concord.accounts.all()
    )
    written = concord.audit.entries(AuditFilter(action="secrets.rotate"))
    assert [(one.outcome, one.detail.split(",")[0]) for one in written] == [
        ("done", "3 accounts"),
        ("failed", "interrupted"),
    ]


def test_an_upgrade_of_the_database_is_written_down_once(run: Command, concord: Concord) -> None:
    run("db", "upgrade")

    (row,) = concord.audit.entries()
    assert (row.action, row.subject, row.outcome, row.detail) == (
        "db.upgrade",
        schema.newest(),
        "done",
        "from nothing",
    )


def test_rotation_can_keep_the_old_key(run: Command, key: Path) -> None:
    old = key.read_text().strip()

    answer = run("secrets", "rotate", "--keep-old")

    assert answer.code == 0
    assert key.read_text().split()[1:] == [old]


def test_secret_that_no_key_opens_is_named_and_keys_stay(run: Command, concord: Concord, key: Path) -> None:
    add(run, "lost")
    with concord.engine.begin() as connection:
        connection.execute(text("UPDATE accounts SET secret = 'gAAAAAnothing'"))

    checked, rotated = run("secrets", "check"), run("secrets", "rotate")

    assert (checked.code, rotated.code) == (2, 1)
    assert "lost" in checked.err
    assert "lost" in rotated.err
    assert len(key.read_text().split()) == 2


def test_other_key_is_refused_before_it_seals_anything(run: Command, concord: Concord, key: Path) -> None:
    """A3: what it sealed, nobody could open again."""
    sealed.verify_key(concord.engine, concord.vault)
    key.unlink()
    run("secrets", "init")

    answer = run("account", "add", "x", "--host", "h", "--user", "u", "--password-stdin", stdin=PASSWORD)

    assert answer.code == 2
    assert "does not open" in answer.err
    assert concord.accounts.all() == []


def process(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*INTERRUPTIBLE, sys.executable, "-m", "concord", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **{name: str(value) for name, value in options.items()}},
    )


def test_reader_that_has_enough_is_no_failure(run: Command, concord: Concord) -> None:
    """`concord account list --json | head -1`."""
    for number in range(200):
        concord.accounts.add(_account(f"box{number}"))

    with process("account", "list", "--json") as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        told = command.stderr.read()

    assert told == ""


def test_interrupted_command_is_quiet(run: Command, concord: Concord, empty_redis: RedisServer) -> None:
    concord.accounts.add(_account("one"))
    empty_redis.freeze()
    with process("sync-email-tasks", CONCORD_REDIS__SOCKET_TIMEOUT=60) as command:
        assert eventually(lambda: _has_socket_to(command.pid, empty_redis.port))
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=90)
    empty_redis.thaw()

    assert (command.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_answers_have_no_colours_when_piped(run: Command) -> None:
    add(run, "one")

    texts = [
        process(*arguments, FORCE_COLOR="", TERM="xterm-256color").communicate(timeout=180)
        for arguments in (("account", "list"), ("--help",), ("account", "show", "nix"), ("config", "check"))
    ]

    assert all("\x1b" not in part for text in texts for part in text)


def test_shells_complete_commands_and_accounts(run: Command) -> None:
    add(run, "sales")

    told = {
        words: process(
            _CONCORD_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=len(words.split()) - 1
        ).communicate(timeout=180)[0]
        for words in ("concord mess", "concord account sh", "concord account show sal")
    }

    assert [answer.split() for answer in told.values()] == [["message"], ["show"], ["sales"]]


def _has_socket_to(pid: int, port: int) -> bool:
    return any(one.raddr[1:] == (port,) for one in psutil.Process(pid).net_connections())


def _account(name: str) -> Account:
    return Account(name=name, host="mail.example.com", user=name)
