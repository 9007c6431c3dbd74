"""`concord version`."""

from __future__ import annotations

import platform

from concord import __version__
from concord.cli.options import Json
from concord.cli.output import emit


def version(json: Json = False) -> None:
    """Say which Concord this is."""
    if json:
        emit({"version": __version__, "python": platform.python_version()})
    else:
        print(f"concord {__version__} (Python {platform.python_version()})")
