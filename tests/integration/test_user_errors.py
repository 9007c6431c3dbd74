"""Every mistake a person can make names the input, the cause and the remedy, without a traceback or a secret.

Each row is a command line or a configuration, the exit code it must end with, and words that must be in the answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from concord.adapters.sql import schema
from concord.adapters.sql.sealed import verify_key
from concord.bootstrap import Concord
from concord.model.account import Account
from concord.settings import load
from tests.factories import sealed_in
from tests.fakes.command import Command

PASSWORD = "Hemmelig-4711"
REDIS_PASSWORD = "rotbarsch-1234"


@dataclass
class Place:
    """One person's machine: a configuration, credentials, a database with one account named sales."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def config(self) -> Path:
        return self.folder / "concord.toml"

    @property
    def key(self) -> Path:
        return self.folder / "credentials" / "secret_key"

    def write(self, name: str, text: str | bytes = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def add_config(self, text: str) -> None:
        self.config.write_text(self.config.read_text() + text)

    def set(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, copied for each row."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "credentials").mkdir(mode=0o700)
    key = folder / "credentials" / "secret_key"
    key.touch(mode=0o600)
    key.write_bytes(Fernet.generate_key())
    (folder / "concord.toml").write_text("")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CONCORD_CONFIG", str(folder / "concord.toml"))
        patched.setenv("CONCORD_CREDENTIALS", str(folder / "credentials"))
        patched.setenv("CONCORD_DATABASE__URL", f"sqlite:///{folder}/concord.db")
        concord = Concord(load())
        schema.upgrade(concord.engine)
        verify_key(concord.engine, concord.vault)
        sales = Account(name="sales", host="mail.example.com", user="alice")
        concord.accounts.add(sealed_in(concord.vault, sales, PASSWORD))
        concord.engine.dispose()
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    (tmp_path / "credentials").mkdir(mode=0o700)
    for name in ("concord.db", "credentials/secret_key"):
        (tmp_path / name).write_bytes((template / name).read_bytes())
    (tmp_path / "credentials/secret_key").chmod(0o600)
    made = Place(tmp_path, monkeypatch)
    made.config.write_text(
        f'database.url = "sqlite:///{tmp_path}/concord.db"\narchive.path = "{tmp_path}/archive"\n'
        f'redis.url = "redis://:{REDIS_PASSWORD}@127.0.0.1:1/0"\n'
    )
    monkeypatch.setenv("CONCORD_CONFIG", str(made.config))
    monkeypatch.setenv("CONCORD_CREDENTIALS", str(tmp_path / "credentials"))
    monkeypatch.chdir(tmp_path)
    return made


@dataclass(frozen=True)
class Row:
    """`{folder}` in the command line is the place's folder."""

    command: str
    code: int
    words: tuple[str, ...]
    given: Callable[[Place], object] = lambda _place: None
    stdin: str | bytes = PASSWORD

    def arguments(self, place: Place) -> list[str]:
        return [word.replace("{folder}", str(place.folder)).replace("␣", " ") for word in self.command.split()]


ADD = "account add box --password-stdin --host mail.example.com --user u"


def add(changes: str) -> str:
    """The options given later win."""
    return f"{ADD} {changes}"


ROWS = {
    # What is typed.
    "no such command": Row("acount list", 2, ("acount", "Did you mean 'account'?", "concord --help")),
    "no such verb": Row("account lst", 2, ("lst", "Did you mean 'list'", "concord account --help")),
    "no such option": Row("account list --jsn", 2, ("--jsn", "--json", "concord account list --help")),
    "missing option": Row("account add box --user u", 2, ("--host", "concord account add --help")),
    "not a number": Row(add("--port imap"), 2, ("--port", "imap", "integer", "--help")),
    "no such choice": Row(add("--tls ssl"), 2, ("--tls", "'ssl'", "'implicit', 'starttls', 'none'")),
    "limit of nothing": Row("message list --limit 0", 2, ("--limit", "value: 0", "--help")),
    "time in words": Row("message list --since yesterday", 2, ("--since", "yesterday", "2026-01-31")),
    "span turned round": Row(
        "message list --since 2026-02-01 --until 2026-01-01", 2, ("2026-02-01", "empty", "--since that is before")
    ),
    # Accounts.
    "host is a URL": Row(add("--host imaps://mail.example.com"), 2, ("imaps://", "URL", "mail.example.com")),
    "host with a port": Row(
        add("--host mail.example.com:993"), 2, ("mail.example.com:993", "has a port", "the port as the port")
    ),
    "host with spaces": Row(add("--host mail␣example"), 2, ("mail example", "letters, digits", "Correct the host")),
    "host of four numbers": Row(add("--host 300.1.1.1"), 2, ("300.1.1.1", "Correct the host")),
    "port out of range": Row(add("--port 70000"), 2, ("70000", "1 to 65535", "993")),
    "name like an option": Row(
        "account add --host h --user u -- -box", 2, ("-box", "not beginning with '-'", "another name")
    ),
    "name taken": Row(
        "account add sales --host h --user u --password-stdin", 2, ("sales", "already", "concord account edit sales")
    ),
    "CA file missing": Row(add("--ca-file none.pem"), 2, ("none.pem", "No such file", "PEM")),
    "CA file is no certificate": Row(
        add("--ca-file {folder}/ca.pem"),
        2,
        ("ca.pem", "no certificate", "PEM"),
        given=lambda at: at.write("ca.pem", "x"),
    ),
    "CA file without TLS": Row(
        add("--tls none --ca-file {folder}/ca.pem"),
        2,
        ("ca.pem", "tls is none", "starttls"),
        given=lambda at: at.write("ca.pem", "x"),
    ),
    "start in words": Row(add("--start tomorrow"), 2, ("start", "tomorrow", "'since:YYYY-MM-DD'")),
    "start on no day": Row(add("--start since:2026-13-01"), 2, ("2026-13-01", "month", "start", "Correct that value")),
    "start in the future": Row(add("--start since:2999-01-01"), 2, ("2999-01-01", "future", "past day")),
    "after in words": Row(add("--after burn"), 2, ("after", "burn", "'move:FOLDER'")),
    "moving into a polled folder": Row(
        add("--after move:INBOX"), 2, ("move:INBOX", "among the folders", "another folder")
    ),
    "interval of nothing": Row(add("--interval 0"), 2, ("interval: 0", "1 to 2592000", "60")),
    "folder twice": Row(add("--folder A --folder A"), 2, ("A, A", "twice", "once")),
    "all folders twice": Row(add("--folder * --folder A --folder *"), 2, ("*, A, *", "twice", "once")),
    "folder without a name": Row(add("--folder * --folder="), 2, ("a folder has no name", "'*' for all")),
    "empty password": Row(ADD, 2, ("box", "password is empty", "app password"), stdin="\n"),
    "password of two lines": Row(ADD, 2, ("box", "more than one line", "alone"), stdin=f"{PASSWORD}\n{PASSWORD}\n"),
    "password that is no text": Row(ADD, 2, ("box", "not UTF-8", "Check what is piped in"), stdin=b"\xff\xfe"),
    "no password at all": Row("account add box --host h --user u", 2, ("No password", "box", "--password-stdin")),
    "no such account": Row("account show sails", 2, ("sails", "no such account", "concord account list")),
    "account to poll unknown": Row("poll sails", 2, ("sails", "concord account list")),
    "edit of nothing": Row("account edit sales", 2, ("sales", "Nothing to change", "--help")),
    # Messages and what follows.
    "no such message": Row("message show 4711", 2, ("4711", "no such message", "concord message list")),
    "number too big": Row("message show 99999999999999999999", 2, ("99999999999999999999", "concord message list")),
    "no such Message-ID": Row("message trace <x@y>", 2, ("<x@y>", "concord message list")),
    "retry of what": Row("message retry", 2, ("not said", "--all-quarantined")),
    "replay of what": Row("message replay", 2, ("not said", "--account, --since, --until")),
    "replay to nobody": Row("message replay --account sales --handler lgo", 2, ("lgo", "Did you mean 'log'?")),
    "mail file missing": Row("message parse none.eml", 2, ("none.eml", "No such file", "Correct the path")),
    "mail file is a folder": Row("message parse {folder}", 2, ("Is a directory", "Correct the path")),
    "mail file empty": Row("message parse -", 2, ("no mail in it", "whole mail"), stdin=""),
    "event id of no shape": Row("event show 12", 2, ("12", "event's id", "concord event list")),
    "no such event": Row(
        "event show 0b1c7a52-0d8e-5a4b-9d0b-6f2a3f1d9f10", 2, ("0b1c7a52", "no such event", "What to do")
    ),
    "no such delivery": Row("delivery retry 4711", 1, ("4711", "concord delivery list")),
    "no such run": Row("workflow show 4711", 2, ("4711", "What to do")),
    # Rules and handlers.
    "handler misspelt in a rule": Row(
        "rule add r --from * --handler lgo", 2, ("lgo", "does not exist", "Did you mean 'log'?")
    ),
    "pattern that is no pattern": Row("rule add r --subject re:(", 2, ("re:(", "subject", "What to do")),
    "size in words": Row("rule add r --larger big", 2, ("big", "10MB", "larger")),
    "header without a colon": Row("rule add r --header List-Id", 2, ("List-Id", "condition", "'List-Id:*news*'")),
    "no such rule": Row("rule show nix", 2, ("nix", "no such rule", "concord rule list")),
    "no such kind of handler": Row("handler add h --kind webhok", 2, ("webhok", "Did you mean 'webhook'?")),
    "webhook without a URL": Row("handler add h --kind webhook", 2, ("url", "missing", "Give 'url'")),
    "unusable webhook secret": Row(
        "handler add h --kind webhook --option url=https://example.com/ --secret-stdin",
        2,
        ("h", "secret", "Make one with"),
    ),
    "no such handler": Row("handler test lgo", 2, ("lgo", "Did you mean 'log'?")),
    # Files to apply and import.
    "plan missing": Row("apply none.toml", 2, ("none.toml", "No such file", "Correct the path")),
    "plan is no TOML": Row(
        "apply {folder}/plan.toml",
        2,
        ("plan.toml", "line 2", "Correct it"),
        given=lambda at: at.write("plan.toml", "\nx = = 1"),
    ),
    "plan with a misspelt section": Row(
        "apply {folder}/plan.toml",
        2,
        ("acounts", "Did you mean 'accounts'?"),
        given=lambda at: at.write("plan.toml", "[[acounts]]\n"),
    ),
    "plan with a misspelt key": Row(
        "apply {folder}/plan.toml",
        2,
        ("box", "hosst", "Did you mean 'host'?"),
        given=lambda at: at.write("plan.toml", '[[accounts]]\nname = "box"\nhosst = "h"\nuser = "u"\n'),
    ),
    "plan with a password in it": Row(
        "apply {folder}/plan.toml",
        2,
        ("box", "stands in the file itself", "password_file"),
        given=lambda at: at.write(
            "plan.toml", f'[[accounts]]\nname="box"\nhost="h"\nuser="u"\npassword="{PASSWORD}"\n'
        ),
    ),
    "plan whose password file is missing": Row(
        "apply {folder}/plan.toml",
        2,
        ("box", "nix", "No such file", "Correct the path"),
        given=lambda at: at.write("plan.toml", '[[accounts]]\nname="box"\nhost="h"\nuser="u"\npassword_file="nix"\n'),
    ),
    "plan whose variable is not set": Row(
        "apply {folder}/plan.toml",
        2,
        ("box", "NIX", "not set", "password_file"),
        given=lambda at: at.write("plan.toml", '[[accounts]]\nname="box"\nhost="h"\nuser="u"\npassword_env="NIX"\n'),
    ),
    "import with an unknown column": Row(
        "account import {folder}/a.csv",
        2,
        ("pasword", "Did you mean 'password'?"),
        given=lambda at: at.write("a.csv", "name,host,user,pasword\n"),
    ),
    "import without accounts": Row(
        "account import {folder}/a.csv",
        2,
        ("a.csv", "no accounts", "below the header"),
        given=lambda at: at.write("a.csv", "name,host,user\n"),
    ),
    "import with a wrong row": Row(
        "account import {folder}/a.csv",
        2,
        ("line 3", "port", "imap", "whole number", "nothing was imported"),
        given=lambda at: at.write(
            "a.csv", f"name,host,user,password,port\na,h,u,{PASSWORD},1\nb,h,u,{PASSWORD},imap\n"
        ),
    ),
    # Settings.
    "misspelt setting": Row(
        "account list",
        2,
        ("poll.intervall", "no such setting", "Did you mean 'interval'?"),
        given=lambda at: at.add_config("poll.intervall = 5\n"),
    ),
    "setting out of range": Row(
        "account list",
        2,
        ("poll.interval", "greater than or equal to 1", "concord config check"),
        given=lambda at: at.add_config("poll.interval = 0\n"),
    ),
    "configuration is no TOML": Row(
        "account list",
        2,
        ("concord.toml", "not valid TOML", "concord config check"),
        given=lambda at: at.add_config("= 1\n"),
    ),
    "configuration missing": Row(
        "account list",
        2,
        ("none.toml", "does not exist", "CONCORD_CONFIG"),
        given=lambda at: at.set("CONCORD_CONFIG", "none.toml"),
    ),
    "misspelt variable": Row(
        "account list",
        2,
        ("CONCORD_POL__INTERVAL", "no setting", "Did you mean 'poll'?"),
        given=lambda at: at.set("CONCORD_POL__INTERVAL", "5"),
    ),
    "Redis Cluster": Row(
        "account list",
        2,
        ("redis.url", "Cluster", "Sentinel"),
        given=lambda at: at.set("CONCORD_REDIS__URL", "redis+cluster://h"),
    ),
    "unknown kind of database": Row(
        "db check",
        2,
        ("database.url", "mysql", "postgresql://"),
        given=lambda at: at.set("CONCORD_DATABASE__URL", f"mysql://u:{PASSWORD}@h/d"),
    ),
    "credentials directory missing": Row(
        "account list",
        2,
        ("nowhere", "does not exist", "CONCORD_CREDENTIALS"),
        given=lambda at: at.set("CONCORD_CREDENTIALS", "nowhere"),
    ),
    # The key.
    "no key": Row(ADD, 2, ("no key", "concord secrets init"), given=lambda at: at.key.unlink()),
    "malformed key": Row(
        ADD, 2, ("malformed", "line: 1", "concord secrets init"), given=lambda at: at.key.write_text("abc")
    ),
    "another database's key": Row(
        ADD, 2, ("does not open", "Put back the key"), given=lambda at: at.key.write_bytes(Fernet.generate_key())
    ),
    "key there already": Row("secrets init", 2, ("secret_key", "already", "concord secrets rotate")),
    "rotation without a file": Row(
        "secrets rotate",
        2,
        ("no file", "secret_key_file"),
        given=lambda at: at.set("CONCORD_SECRET_KEY", at.key.read_text()),
    ),
    # What is away.
    "empty database": Row(
        "db check",
        2,
        ("concord.db", "empty", "concord db upgrade"),
        given=lambda at: at.write("concord.db").write_bytes(b""),
    ),
    "account list without a schema": Row(
        "account list",
        2,
        ("concord.db", "no such table", "concord db upgrade"),
        given=lambda at: at.write("concord.db"),
    ),
    "worker without a schema": Row(
        "worker run mail", 2, ("concord.db", "empty", "concord db upgrade"), given=lambda at: at.write("concord.db")
    ),
    "worker without a key": Row(
        "worker run poll", 2, ("no key", "concord secrets init"), given=lambda at: at.key.unlink()
    ),
    "worker of no kind": Row("worker run email", 2, ("email", "no such worker", "Did you mean 'mail'?")),
    "daemon of no kind": Row("service stop --only worker@mial", 2, ("worker@mial", "Did you mean 'worker@mail'?")),
    "daemon that is not ours": Row("service stop --only sshd", 2, ("sshd", "one of Concord's daemons", "beat, worker")),
    "worker's name for no unit": Row("worker add My-Worker --type mail", 2, ("My-Worker", "small letters, digits")),
    "worker of no type": Row("worker add extra", 2, ("extra.json", "does not say its type", "mail")),
    "worker's file with a misspelt key": Row(
        "worker show mail",
        2,
        ("mail.json", "concurency", "Did you mean 'concurrency'?"),
        given=lambda at: at.write("workers/mail.json", '{"concurency": 4}'),
    ),
    "worker's file that is not JSON": Row(
        "worker list",
        2,
        ("mail.json", "not JSON", "line 1, column 2"),
        given=lambda at: at.write("workers/mail.json", "{"),
    ),
    "secrets to forget without a yes": Row(
        "secrets forget",
        2,
        ("sales", "--yes"),
        given=lambda at: at.key.write_bytes(Fernet.generate_key()),
    ),
    "database is no database": Row(
        "account list",
        1,
        ("concord.db", "not a database", "database.url"),
        given=lambda at: at.write("concord.db", "x" * 5000),
    ),
    "database in no folder": Row(
        "account list",
        1,
        ("unable to open", "nix/x.db", "database.url"),
        given=lambda at: at.set("CONCORD_DATABASE__URL", "sqlite:////nix/x.db"),
    ),
    "Redis is away": Row("sync-email-tasks", 1, ("Redis did not answer", "refused", "redis.url")),
    "configuration with Redis away": Row("config check", 1, ("✗ redis", "refused", "redis.url", "✓ archive")),
    "PostgreSQL is away": Row(
        "account list",
        1,
        ("database: postgresql", "127.0.0.1:1", "refused", "database.url"),
        given=lambda at: at.set("CONCORD_DATABASE__URL", f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/d"),
    ),
    "mail server is away": Row(
        "account test box",
        1,
        ("✗ tcp", "127.0.0.1", "cause:", "what to do:"),
        given=lambda _: Command()(*add("--host 127.0.0.1 --port 1").split(), stdin=PASSWORD),
    ),
}


def check(row: Row, place: Place, code: int, told: str) -> None:
    assert code == row.code, told
    assert [word for word in row.words if word not in told] == [], told
    assert "Traceback" not in told
    assert not [secret for secret in (PASSWORD, REDIS_PASSWORD, place_key(place)) if secret in told], told


def place_key(place: Place) -> str:
    key = place.key.read_text().strip() if place.key.exists() else ""
    return key if len(key) > 10 else "no key to be seen"


@pytest.mark.parametrize("row", [pytest.param(row, id=name.replace(" ", "-")) for name, row in ROWS.items()])
def test_mistake_names_input_cause_and_remedy(row: Row, place: Place) -> None:
    row.given(place)

    answer = Command()(*row.arguments(place), stdin=row.stdin)

    check(row, place, answer.code, answer.out + answer.err)


@pytest.mark.parametrize("name", ["no such command", "no such account", "misspelt setting", "worker without a schema"])
def test_mistake_is_told_alike_by_the_real_command(name: str, place: Place) -> None:
    row = ROWS[name]
    row.given(place)

    done = subprocess.run(
        [sys.executable, "-m", "concord", *row.arguments(place)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(os.environ),
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )

    check(row, place, done.returncode, done.stderr)
    assert done.stdout == ""


def test_there_are_enough_rows() -> None:
    assert len(ROWS) >= 40
