"""What strangers name does not speak to the terminal (issue 10, finding 14)."""

from __future__ import annotations

import json

import pytest

from concord.cli.border import tell, told_lines
from concord.cli.output import pour
from concord.cli.progress import telling
from concord.cli.session import Session
from concord.errors import MailboxFolderError

NAMES = ["\x1b]0;owned\x07", "\x1b[2J\x1b[31mINBOX", "a\r\nError: forged", "\x9b31mx", "x\u202efdp.exe", "\x7f\x08"]
COMMANDS = set("\x1b\x07\r\x9b\u202e\x7f\x08")


@pytest.mark.parametrize("name", NAMES)
def test_error_is_told_without_the_terminals_commands(name: str) -> None:
    lines = told_lines(MailboxFolderError("unusable", answer=name, folder=name))

    assert not COMMANDS & set("".join(lines))
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_error_as_json_is_the_same_and_obeyed_by_no_terminal(capsys: pytest.CaptureFixture[str], name: str) -> None:
    run = Session()
    run.json = True

    tell(MailboxFolderError("unusable", folder=name), run)

    written = capsys.readouterr().out
    assert not COMMANDS & set(written)
    assert json.loads(written)["error"]["facts"]["folder"] == name


@pytest.mark.parametrize("name", NAMES)
def test_progress_is_told_without_the_terminals_commands(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with telling() as tell_progress:
        tell_progress("Reading %(folder)s", folder=name)

    assert not COMMANDS & set(capsys.readouterr().err)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("watched", [True, False])
def test_export_obeys_nothing_on_a_terminal_and_is_whole_in_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, *, watched: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: watched)

    pour(f"1,{name}\r\n")

    written = capsys.readouterr().out
    assert (written == f"1,{name}\r\n") is not watched
    assert bool(COMMANDS & set(written)) is not watched
    assert written.endswith("\n")
