"""Files that a person names on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

from concord.errors import UsageError

STDIN: Final = "-"


@contextmanager
def as_caller() -> Iterator[None]:
    """With the rights of whoever typed the command, where `identity` has put on those of the user concord."""
    mine, saved = os.geteuid(), os.getresuid()[2]
    if mine == saved:
        yield
        return
    group = os.getegid()
    os.seteuid(saved)
    os.setegid(os.getresgid()[2])
    try:
        yield
    finally:
        os.setegid(group)
        os.seteuid(mine)


def read_mail(name: str) -> bytes:
    """A mail's octets. Raises UsageError with the file and the cause."""
    if name == STDIN:
        raw: bytes = typer.get_binary_stream("stdin").read()
    else:
        try:
            with as_caller():
                raw = Path(name).read_bytes()
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or str(error)
            raise UsageError("file_unreadable", file=name, cause=cause) from None
    if not raw:
        raise UsageError("file_no_mail", file=name)
    return raw
