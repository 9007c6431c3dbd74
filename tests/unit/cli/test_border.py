"""Failures become words and exit codes at one border."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from concord.bootstrap import Concord
from concord.cli.root import app
from concord.cli.session import Session
from concord.errors import DatabaseDownError
from concord.wording import english
from tests.fakes.command import Answer, Command


def failing(error: BaseException, *arguments: str) -> Answer:
    def make() -> Concord:
        raise error

    return Command(make)(*arguments, "account", "list")


def test_failure_of_ours_is_sentence_facts_and_remedy() -> None:
    answer = failing(DatabaseDownError("refused", database="sqlite:///x", cause="locked"))

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.splitlines() == [
        "Error: The database did not do it.",
        "  database: sqlite:///x",
        "  cause: locked",
        f"What to do: {english.remedy(DatabaseDownError())}.",
    ]


def test_json_failure_is_one_document_on_stdout() -> None:
    def make() -> Concord:
        raise DatabaseDownError("refused", cause="locked")

    answer = Command(make)("account", "list", "--json")

    assert json.loads(answer.out)["error"] == {
        "code": "database_down",
        "situation": "database_down.refused",
        "message": "The database did not do it",
        "facts": {"cause": "locked"},
        "remedy": english.remedy(DatabaseDownError()),
    }


def test_unexpected_failure_hides_its_words() -> None:
    """An exception of a library may quote a secret."""
    answer = failing(ValueError("invalid literal 'hunter2'"))

    assert answer.code == 1
    assert "hunter2" not in answer.err
    assert "ValueError" in answer.err
    assert "concord --debug" in answer.err


def test_debug_shows_where_it_happened() -> None:
    with pytest.raises(ValueError, match="a bug"):
        raise_through(ValueError("a bug"))


def raise_through(error: Exception) -> None:
    def make() -> Concord:
        raise error

    CliRunner().invoke(app, ["--debug", "account", "list"], obj=Session(make=make), catch_exceptions=False)


def test_interrupt_is_quiet() -> None:
    answer = failing(KeyboardInterrupt())

    assert (answer.code, answer.out) == (130, "")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("arguments", [(), ("account",), ("worker",)])
def test_no_command_shows_the_help(arguments: tuple[str, ...]) -> None:
    answer = Command()(*arguments)

    assert answer.code == 2
    assert "Usage:" in answer.out + answer.err


def test_misspelt_command_is_guessed() -> None:
    answer = Command()("mesage", "list")

    assert answer.code == 2
    assert "Did you mean 'message'?" in answer.err
