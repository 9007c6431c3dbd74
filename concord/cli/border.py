"""The one place where a failure becomes words on standard error and an exit code.

0: done. 1: what was asked for did not work. 2: it was asked for in a way that cannot work. 130: ^C.
With --json the same failure also goes to standard output, as {"error": {code, situation, message, facts, remedy}}, so
that a program that reads the answer always finds one JSON document there.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from concord.cli import session as sessions
from concord.cli.output import shown, unarmed
from concord.cli.session import Session
from concord.errors import ConcordError, DaemonFailedError, SecretKeyError, UsageError
from concord.wording import english

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


class UnexpectedError(ConcordError):
    """A bug, as a person is told of it."""


class Border(TyperGroup):
    """The root of all commands; none of them ends with a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line, then leave with its exit code."""
        del standalone_mode
        _never_fail_to_write()
        given = list(sys.argv[1:] if args is None else args)
        run = extra.get("obj") or Session()
        extra["obj"] = run
        run.json = "--json" in given
        sessions.begin(run)
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001 - the edge of the process: everything is told or raised on
            code = _told(error, run)
        finally:
            run.close()
        sys.exit(code if isinstance(code, int) else 0)


def _told(error: BaseException, run: Session) -> int:
    """Say it; the exit code. Raises what is nobody's failure, and a bug if its traceback is asked for."""
    match error:
        case ConcordError():
            tell(error, run)
            return exit_code(error)
        case typer.TyperException():
            return _told_usage(error, run)
        case typer.Abort() | KeyboardInterrupt():
            return INTERRUPTED
        case typer.Exit():
            return error.exit_code
        case BrokenPipeError():
            return _gone()
        case Exception() if not run.debug:
            tell(_unexpected(error), run)
            return FAILED
    raise error


def exit_code(error: ConcordError) -> int:
    """Whether the question was wrong, or the answer."""
    return USAGE if isinstance(error, UsageError | SecretKeyError) else FAILED


def problem(error: ConcordError) -> dict[str, Any]:
    """A failure as JSON."""
    told: dict[str, Any] = {
        "code": error.code,
        "situation": error.situation,
        "message": english.sentence(error),
        "facts": english.facts(error),
        "remedy": english.remedy(error),
    }
    return told | {"log": list(error.log)} if isinstance(error, DaemonFailedError) else told


def told_lines(error: ConcordError) -> list[str]:
    """A failure in words: the sentence, a line for each fact, the remedy."""
    facts = [f"  {name}: {shown(value)}" for name, value in english.facts(error).items()]
    todo = english.remedy(error)
    remedy = [f"What to do: {shown(_sentence(todo))}"] if todo else []
    return [f"Error: {shown(_sentence(english.sentence(error)))}", *facts, *_last_lines(error), *remedy]


def _last_lines(error: ConcordError) -> list[str]:
    """What a daemon that failed wrote last, where that is what went wrong."""
    if not isinstance(error, DaemonFailedError) or not error.log:
        return []
    return ["  its last lines:", *(f"    {shown(line)}" for line in error.log)]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def tell(error: ConcordError, run: Session) -> None:
    """On standard error for people, and on standard output for programs that asked for JSON."""
    if run.json:
        print(unarmed(json.dumps({"error": problem(error)}, ensure_ascii=False)))
    print("\n".join(told_lines(error)), file=sys.stderr)


def _told_usage(error: typer.TyperException, run: Session) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        # The help is its message, and has been shown.
        return USAGE
    command = context.command_path if context else "concord"
    tell(
        UsageError("command", words=_words(error), value=_refused_value(error), command=command),
        run,
    )
    return error.exit_code


def _words(error: typer.TyperException) -> str:
    """Typer validates with pydantic, which says so."""
    return error.format_message().replace("Value error, ", "").rstrip(".")


def _refused_value(error: typer.TyperException) -> object:
    """What was typed, where pydantic's words leave it out. No secret is ever taken from the command line."""
    mistakes: list[dict[str, object]] = getattr(error.__cause__, "errors", list)()
    value = mistakes[0].get("input") if mistakes else None
    return None if value is None or str(value) in error.format_message() else value


def _unexpected(error: Exception) -> ConcordError:
    """Without the exception's own words: nobody can say that no secret is among them."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else None
    return UnexpectedError("command", cause=type(error).__name__, at=place)


def _never_fail_to_write() -> None:
    """A terminal that cannot show a character gets its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _gone() -> int:
    """Whoever read our output has enough (`| head`). Python would complain when it closes the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
