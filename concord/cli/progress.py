"""A bar for long work: on standard error, and only where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from concord.cli.output import shown
from concord.model.progress import Told
from concord.wording.template import fill

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
def telling() -> Iterator[Told]:
    """Takes what is being waited for: a line that changes where a person watches, a line for each change elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if sys.stderr.isatty():
        with console.status("") as line:
            yield lambda sentence, /, **values: line.update(Text(shown(f"{fill(sentence, values)} …")))
        return
    said = ""

    def tell(sentence: str, /, **values: object) -> None:
        nonlocal said
        text = shown(fill(sentence, values))
        if text != said:
            print(f"{text} …", file=sys.stderr)
        said = text

    yield tell
