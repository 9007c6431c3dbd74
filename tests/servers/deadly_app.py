"""Concord's own app with mails that end the process that reads them, as long as the file $DEADLY is there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from concord import mime
from concord.adapters.archive_file import FileArchive
from concord.celery_app import app

__all__ = ["app"]

PARSER = b"Subject: kills in the parser"
ARCHIVE = b"Subject: kills in the archive"
SLOW = b"Subject: never ends"
_ALIVE = Path(os.environ["DEADLY"])
_parse, _read = mime.read, FileArchive.read


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly_parse(raw: bytes) -> Any:
    if _ALIVE.exists() and PARSER in raw:
        _die()
    while _ALIVE.exists() and SLOW in raw:
        time.sleep(0.1)
    return _parse(raw)


def _deadly_read(self: FileArchive, key: str, *, sha256: str | None = None) -> bytes:
    raw = _read(self, key, sha256=sha256)
    if _ALIVE.exists() and ARCHIVE in raw:
        _die()
    return raw


mime.read = _deadly_parse
FileArchive.read = _deadly_read  # type: ignore[method-assign]  # what this app is for
