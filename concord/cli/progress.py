"""A bar for long work: on standard error, and only where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

Item = TypeVar("Item")

# Less than this is done before a bar could be read.
_FEW: Final = 20


def watched(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The same items, one by one."""
    if not sys.stderr.isatty() or len(items) < _FEW:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, console=Console(stderr=True), transient=True)


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Takes what is being waited for: a line that changes where a person watches, a line for each change elsewhere."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if sys.stderr.isatty():
        with console.status("") as line:
            yield lambda text: line.update(f"{text} …")
        return
    said = ""

    def tell(text: str) -> None:
        nonlocal said
        if text != said:
            print(f"{text} …", file=sys.stderr)
        said = text

    yield tell
