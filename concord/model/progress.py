"""What a long action says while it is under way."""

from __future__ import annotations

from typing import Protocol


class Told(Protocol):
    """Takes what is being done or waited for: a sentence of the catalogue, with %(name)s where its values go."""

    def __call__(self, sentence: str, /, **values: object) -> None: ...


def untold(_sentence: str, /, **_values: object) -> None:
    """For whoever does not watch."""
