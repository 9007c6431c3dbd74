"""What commands answer: tables and sentences for people, one JSON document for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import typer

from concord.model.fault import spelt_out

# As wide as a row needs: whoever reads a pipe wants one line for each.
_PIPED: Final = 10_000
# JSON leaves these as they are, and terminals obey them.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def emit(value: object) -> None:
    """The one JSON document of an answer."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=2)
    print(unarmed(text))


def unarmed(document: str) -> str:
    """Return the JSON with escapes for the characters that a terminal obeys."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def plain(value: object) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """Values as JSON says them. Fields that a repr leaves out (secrets, bytes) are left out here too."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if is_dataclass(value):
        return plain(spelt_out({field.name: getattr(value, field.name) for field in fields(value) if field.repr}))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in spelt_out(value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under a header; folded, never cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _PIPED, highlight=False)
    # A newcomer's terminal may say nothing of its width; rich then assumes 80.
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for position, column in enumerate(columns):
        # The first column is what a person copies into the next command.
        whole = max((len(shown(row[0])) for row in rows), default=0) if position == 0 else None
        grid.add_column(column, overflow="fold", min_width=whole)
    for row in rows:
        grid.add_row(*(Text(shown(cell)) for cell in row))
    with console.capture() as captured:
        console.print(grid)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def facts(pairs: Mapping[str, object]) -> None:
    """One fact a line, the names aligned."""
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        print(f"{name.ljust(width)}  {shown(value)}".rstrip())


def shown(value: object) -> str:
    """A cell or fact in words. Mail may try to speak to the terminal: nothing unprintable gets through."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return local(value)
    if isinstance(value, list | tuple):
        return ", ".join(shown(inner) for inner in value) or "-"
    text = str(value)
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def pour(piece: str) -> None:
    """Write a piece of a file: as it is, but onto a terminal without what that obeys."""
    lines = [line.removesuffix("\r") for line in piece.split("\n")]
    told = "\n".join(shown(line) if line else line for line in lines)
    sys.stdout.write(told if sys.stdout.isatty() else piece)


def local(moment: datetime) -> str:
    """The time on this machine's clock; JSON has it in UTC."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def say(sentence: str) -> None:
    """One line for a person."""
    print(shown(sentence))


def warn(sentence: str) -> None:
    """Worth knowing, and not in the way of what reads the answer."""
    print(f"Warning: {shown(sentence)}", file=sys.stderr)


def aside(sentence: str) -> None:
    """For a person, beside an answer that a program may read."""
    print(shown(sentence), file=sys.stderr)


def verdict(name: str, *, ok: bool, detail: str, cause: str = "", remedy: str = "") -> None:
    """A check's line, and what to do where it failed."""
    sign = typer.style("✓", fg="green") if ok else typer.style("✗", fg="red")
    typer.echo(f"{sign} {shown(name)}: {shown(detail)}")
    if not ok:
        for word, text in (("cause", cause), ("what to do", remedy)):
            if text:
                typer.echo(f"    {word}: {shown(text)}")


def amount(number: int, noun: str) -> str:
    """`1 message`, `2 messages`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
