"""One pipeline for all logs: one JSON object a line, errors told in full, secrets never."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from concord import log
from concord.errors import MailboxDownError, SettingsError
from concord.log.fields import field_name, fields_of, told
from concord.log.journal import encoded
from concord.wording import english

HELD = "hunter2-in-a-frame"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    log.configure("pretty", "warning")
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def stumble(held: str) -> None:
    raise ValueError(len(held))


def hang_up(address: str) -> None:
    raise ConnectionError(address)


def test_ours_and_libraries_speak_alike(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")

    structlog.get_logger("concord.poll").info("poll.done", archived=3)
    logging.getLogger("celery").warning("Task %s is late", "abc")

    ours, theirs = lines(capsys)
    assert (ours["event"], ours["archived"], ours["level"]) == ("poll.done", 3, "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("Task abc is late", "celery", "warning")


def test_times_are_utc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of several hosts are put in one order."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    log.configure("json", "info")
    try:
        structlog.get_logger().info("poll.done")
    finally:
        monkeypatch.undo()
        time.tzset()

    [line] = lines(capsys)
    assert line["timestamp"].endswith("Z")
    assert abs(datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_error_is_told_with_code_facts_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")

    structlog.get_logger().warning("poll.failed", error=MailboxDownError("hung_up", host="mail.example"))

    [line] = lines(capsys)
    assert (line["error"], line["error_code"], line["host"]) == (
        "The IMAP server hung up",
        "mailbox_down",
        "mail.example",
    )
    assert line["remedy"]


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_tracebacks_show_no_local_variables(
    capsys: pytest.CaptureFixture[str], style: Literal["json", "pretty"]
) -> None:
    """A3: a frame may hold a password."""
    log.configure(style, "info")

    try:
        stumble(HELD)
    except ValueError as error:
        structlog.get_logger().error("task.failed", exc_info=error)

    told = capsys.readouterr().err
    assert "ValueError" in told
    assert HELD not in told


def test_fields_named_like_secrets_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    """A3."""
    log.configure("json", "info")

    structlog.get_logger().info("account.added", password="hunter2", form={"api_token": "t0ken"}, user="bob")

    [line] = lines(capsys)
    assert (line["password"], line["form"], line["user"]) == (log.HIDDEN, {"api_token": log.HIDDEN}, "bob")


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_password_in_an_address_is_hidden_wherever_it_stands(
    capsys: pytest.CaptureFixture[str], style: Literal["json", "pretty"]
) -> None:
    """A3: a library may put a whole address into an error's words."""
    log.configure(style, "info")
    address = "redis://user:hunter2@redis.example:6379/0"

    logging.getLogger("kombu").error("Cannot connect to %s", address)
    structlog.get_logger().error("queue.down", cause=ConnectionError(address))
    try:
        hang_up(address)
    except ConnectionError as error:
        structlog.get_logger().error("queue.down", exc_info=error)

    told = capsys.readouterr().err
    assert "hunter2" not in told
    assert told.count("redis://user:[hidden]@redis.example:6379/0") == 3


def test_line_has_no_control_character_that_a_journal_or_terminal_would_mind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """D4: whatever a mail's subject is, the line stays one line of text."""
    log.configure("json", "info")
    subject = "one\ntwo\x1b[2J\x9b2J\x7f\udc80"

    structlog.get_logger().info("event.received", subject=subject)

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["subject"] == subject
    assert line.isprintable()


class Taken(logging.Handler):
    """Stands where the journal's handler would, with the same formatter."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.fields: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.fields = list(fields_of(record, *told(self, record)))


def entry(**facts: object) -> list[tuple[str, str]]:
    """The fields of one entry, as the journal would get them."""
    log.configure("json", "info")
    root = logging.getLogger()
    taken = Taken(root.handlers[0].formatter)
    root.addHandler(taken)
    structlog.get_logger("concord.poll").info("poll.done", **facts)
    return taken.fields


def test_every_plain_fact_becomes_a_field() -> None:
    """D4: journalctl CONCORD_ACCOUNT=office."""
    fields = entry(account="office", archived=3, forced=True, until=None, tree={"a": 1}, password="x")

    one = dict(fields)
    assert json.loads(one["MESSAGE"])["event"] == "poll.done"
    assert (one["PRIORITY"], one["SYSLOG_IDENTIFIER"], one["LOGGER"]) == ("6", "concord", "concord.poll")
    assert (one["CONCORD_EVENT"], one["CONCORD_ACCOUNT"], one["CONCORD_ARCHIVED"]) == ("poll.done", "office", "3")
    assert (one["CONCORD_FORCED"], one["CONCORD_PASSWORD"]) == ("true", log.HIDDEN)
    assert Path(one["CODE_FILE"]).name == "test_log.py"
    assert not {"CONCORD_UNTIL", "CONCORD_TREE", "CONCORD_LEVEL", "CONCORD_TIMESTAMP"} & set(one)


def test_list_becomes_a_field_for_each_of_its_elements() -> None:
    """D4: one line about fifty messages is found by the number of any of them."""
    fields = entry(message_ids=[4711, 4712], account_id=7)

    assert [value for name, value in fields if name == "CONCORD_MESSAGE"] == ["4711", "4712"]
    assert [value for name, value in fields if name == "CONCORD_ACCOUNT"] == ["7"]


def test_value_with_line_breaks_cannot_begin_another_field() -> None:
    """D4: what a stranger wrote in a mail forges no entry."""
    sent = encoded([("CONCORD_SUBJECT", "x\nPRIORITY=0"), ("PRIORITY", "6")])

    assert sent == b"CONCORD_SUBJECT\n" + (12).to_bytes(8, "little") + b"x\nPRIORITY=0\nPRIORITY=6\n"


def test_field_has_a_name_that_the_journal_accepts() -> None:
    names = [field_name("x-header.name"), field_name("ä" * 200)]

    assert names == ["CONCORD_X_HEADER_NAME", "CONCORD_" + "_" * 56]


def test_files_are_named_after_the_daemon_and_hold_the_same_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """D4."""
    for daemon in ("beat", "worker", "flower", "admin"):
        log.configure("json", "info", daemon=daemon, directory=tmp_path)
        structlog.get_logger().info("daemon.began", name=daemon)

    names = ["celery-beat.log", "celery-flower.log", "celery-worker.log", "concord-admin.log"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert "".join(
        (tmp_path / name).read_text() for name in sorted(names, key=[names[i] for i in (0, 2, 1, 3)].index)
    ) == (capsys.readouterr().err)


def test_command_that_is_no_daemon_writes_no_file(tmp_path: Path) -> None:
    log.configure("json", "info", daemon=None, directory=tmp_path)
    structlog.get_logger().info("account.added")

    assert list(tmp_path.iterdir()) == []


def test_file_that_was_renamed_is_left_for_the_new_one(tmp_path: Path) -> None:
    """D4: between rename and new file, the renamed one takes the lines; nobody is in logrotate's way."""
    log.configure("json", "info", daemon="beat", directory=tmp_path)
    file, turned = tmp_path / "celery-beat.log", tmp_path / "celery-beat.log.1"

    file.rename(turned)
    structlog.get_logger().info("beat.first")
    exists = file.exists()
    file.touch()
    structlog.get_logger().info("beat.second")

    assert not exists
    assert [json.loads(path.read_text())["event"] for path in (turned, file)] == ["beat.first", "beat.second"]


def test_file_that_was_removed_is_made_again_after_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("concord.log.files.time.monotonic", lambda: clock[0])
    log.configure("json", "info", daemon="beat", directory=tmp_path)
    file = tmp_path / "celery-beat.log"

    file.unlink()
    structlog.get_logger().info("beat.first")
    clock[0] += 2
    structlog.get_logger().info("beat.second")

    assert json.loads(file.read_text())["event"] == "beat.second"


@pytest.mark.parametrize(
    ("make", "cause", "remedy"),
    [
        (lambda _place: None, "No such file or directory", "install -d"),
        (lambda place: place.write_text(""), "Not a directory", "install -d"),
        (lambda place: (place / "celery-beat.log").mkdir(parents=True), "Is a directory", "unset log.directory"),
    ],
)
def test_directory_that_cannot_be_written_is_named_with_cause_and_remedy(
    tmp_path: Path, make: Any, cause: str, remedy: str
) -> None:
    """D4."""
    place = tmp_path / "log"
    make(place)

    with pytest.raises(SettingsError) as refused:
        log.configure("json", "info", daemon="beat", directory=place)

    assert (refused.value.facts["directory"], refused.value.facts["cause"]) == (str(place), cause)
    assert remedy in english.remedy(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "\x1b]0;owned\x07",
        "\x1b[2J\x1b[31mINBOX",
        "a\r\n2026-01-01 [error] forged",
        "\x9b31mx",
        "x\u202efdp.exe",
        "\x7f\x08\x08",
    ],
)
@pytest.mark.parametrize("place", ["field", "event", "error", "exception"])
def test_pretty_line_does_not_speak_to_the_terminal(capsys: pytest.CaptureFixture[str], place: str, name: str) -> None:
    """Issue 10, 14: a stranger names the folder."""
    log.configure("pretty", "info")
    logger = structlog.get_logger()

    match place:
        case "field":
            logger.info("folder.seen", folder=name, folders=[name])
        case "event":
            logging.getLogger("imapclient").warning("Cannot open %s", name)
        case "error":
            logger.warning("poll.failed", error=MailboxDownError("hung_up", folder=name))
        case "exception":
            try:
                hang_up(name)
            except ConnectionError:
                logger.exception("poll.failed")

    written = capsys.readouterr().err
    assert not set("\x1b\x07\r\x9b\u202e\x7f\x08") & set(written)
    assert "\n2026-01-01 [error] forged" not in written
