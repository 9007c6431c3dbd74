"""Log files that logrotate may turn at any moment, and that any number of processes write at once.

A line is one write(2) at the end of the file, so that no two lines mix. Before each line the file's name is looked at:
where it leads to another file by now, that one is opened.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Final

from concord.errors import SettingsError

# One file for all workers: which one wrote a line stands in the journal, and what a line is about stands in the line.
_NAMES: Final = {
    "beat": "celery-beat.log",
    "worker": "celery-worker.log",
    "flower": "celery-flower.log",
    "admin": "concord-admin.log",
}
# Between logrotate's rename and its new file there is none. Whoever made one then would be in its way; until then the
# renamed one takes the lines, which logrotate does not compress before its next turn.
_GRACE_SECONDS: Final = 1.0
_MODE: Final = 0o640
_NONE: Final = -1


def file_name(daemon: str) -> str | None:
    """The file a daemon writes; None for a command that is none."""
    return _NAMES.get(daemon)


def open_file(directory: Path, name: str) -> RotatedFileHandler:
    """The handler for one file. Raises SettingsError where it cannot be written."""
    try:
        return RotatedFileHandler(directory / name)
    except OSError as error:
        raise SettingsError(
            _detail(error),
            setting="log.directory",
            directory=directory,
            file=name,
            cause=error.strerror,
        ) from error


class RotatedFileHandler(logging.Handler):
    """Appends whole lines to whichever file has the name now. What cannot be written is dropped, never raised."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._missing_since: float | None = None
        self._file = self._opened()
        self._identity = _identity(os.fstat(self._file))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - logging's own rule: what cannot be told must not stop who tells it
            self.handleError(record)
            return
        # A full disk, say: the line also went to the journal or to standard error.
        with contextlib.suppress(OSError):
            self._follow()
            _write(self._file, line)

    def close(self) -> None:
        """Let the file go."""
        self.acquire()
        try:
            if self._file != _NONE:
                os.close(self._file)
                self._file = _NONE
        finally:
            self.release()
        super().close()

    def _follow(self) -> None:
        try:
            here = _identity(self._path.stat())
        except FileNotFoundError:
            if not self._is_gone_for_good():
                return
            here = None
        self._missing_since = None
        if here == self._identity:
            return
        opened = self._opened()
        os.close(self._file)
        self._file, self._identity = opened, _identity(os.fstat(opened))

    def _is_gone_for_good(self) -> bool:
        now = time.monotonic()
        self._missing_since = self._missing_since or now
        return now - self._missing_since >= _GRACE_SECONDS

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, _MODE)


def _write(file: int, line: bytes) -> None:
    """One write(2), unless the disk takes it in parts."""
    while line:
        line = line[os.write(file, line) :]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _detail(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "log_directory.absent"
    return "log_directory.permission" if isinstance(error, PermissionError) else "log_directory"
