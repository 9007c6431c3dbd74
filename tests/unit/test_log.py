"""One pipeline for all logs: one JSON object a line, errors told in full, secrets never."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from concord import log
from concord.errors import MailboxDownError

HELD = "hunter2-in-a-frame"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    log.configure("pretty", "warning")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def stumble(held: str) -> None:
    raise ValueError(len(held))


def test_ours_and_libraries_speak_alike(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")

    structlog.get_logger("concord.poll").info("poll.done", archived=3)
    logging.getLogger("celery").warning("Task %s is late", "abc")

    ours, theirs = lines(capsys)
    assert (ours["event"], ours["archived"], ours["level"]) == ("poll.done", 3, "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("Task abc is late", "celery", "warning")


def test_error_is_told_with_code_facts_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")

    structlog.get_logger().warning("poll.failed", error=MailboxDownError("The server hung up", host="mail.example"))

    [line] = lines(capsys)
    assert (line["error"], line["error_code"], line["host"]) == ("The server hung up", "mailbox_down", "mail.example")
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
    log.configure("json", "info")

    structlog.get_logger().info("account.added", password="hunter2", api_token="t0ken", user="bob")

    [line] = lines(capsys)
    assert (line["password"], line["api_token"], line["user"]) == (log.HIDDEN, log.HIDDEN, "bob")
