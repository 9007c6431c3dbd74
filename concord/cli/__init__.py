"""The `concord` command: one module for each noun.

What is heavy (settings, adapters, Celery) is imported by the command that needs it, when it runs: a person who asks
for help or a version waits for none of it.
"""

from __future__ import annotations

import sys

from concord.cli import starting


def main() -> None:
    """The entry point of the package, and of `python -m concord`."""
    starting.end_well_when_stopped(sys.argv)
    starting.collect_rarely()
    from concord.cli.root import app

    app(prog_name="concord")


__all__ = ["main"]
