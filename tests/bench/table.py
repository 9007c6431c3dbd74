"""What a person reads of a measurement, line by line."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print at once, also into a pipe: it takes minutes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
