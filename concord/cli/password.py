"""Taking a password from standard input or from a person; never from the command line, which everybody can see."""

from __future__ import annotations

import sys

import typer

from concord.cli.output import shown
from concord.errors import UsageError


def take(noun: str, owner: str, *, from_stdin: bool) -> str:
    """The password or secret: what stdin says without its last line end, or what a person types unseen."""
    if sys.stdin.isatty():
        return str(
            typer.prompt(f"{noun.capitalize()} of {shown(owner)}", hide_input=True, default="", show_default=False)
        )
    if not from_stdin:
        raise UsageError("secret_missing", name=owner, noun=noun)
    try:
        text = typer.get_binary_stream("stdin").read().decode()
    except UnicodeDecodeError:
        raise UsageError("secret_no_utf8", name=owner, noun=noun) from None
    return text.removesuffix("\n").removesuffix("\r")
