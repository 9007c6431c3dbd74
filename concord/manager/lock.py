"""One toggle at a time on this host, whoever asks: a file lock, which the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from concord.errors import ConflictError, UsageError
from concord.ports import Clock

PATIENCE: Final = 5.0
_BETWEEN_TRIES: Final = 0.1
_MODE: Final = 0o660
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who is moving daemons just now."""

    pid: int
    actor: str
    verb: str
    since: str  # ISO 8601


class ToggleLock:
    """`manager.lock` in the run directory, which root and the user concord share."""

    def __init__(self, directory: Path, clock: Clock, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._path = directory / "manager.lock"
        self._clock = clock
        self._pause = pause

    @contextmanager
    def held(self, verb: str, actor: str, *, patience: float = PATIENCE) -> Iterator[None]:
        """While nobody else moves anything. Raises ConflictError, after so many seconds, with who does."""
        handle = self._open()
        try:
            self._take(handle, patience)
            me = Holder(pid=os.getpid(), actor=actor, verb=verb, since=self._clock().isoformat())
            _write(handle, json.dumps(asdict(me)))
            try:
                yield
            finally:
                _write(handle, "")
        finally:
            os.close(handle)

    def _open(self) -> int:
        try:
            return self._make() if not self._path.exists() else os.open(self._path, _FLAGS)
        except FileExistsError:
            return os.open(self._path, _FLAGS)
        except FileNotFoundError:
            error = UsageError("lock.no_directory", file=self._path, cause="the directory is not there")
        except PermissionError:
            error = UsageError("lock.permission", file=self._path, cause="this user may not write there")
        except OSError as met:
            error = UsageError("lock", file=self._path, cause=met.strerror or type(met).__name__)
        raise error

    def _make(self) -> int:
        handle = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE)
        os.fchmod(handle, _MODE)
        if os.geteuid() == 0:
            # Root may be the first; the user concord comes after it.
            folder = self._path.parent.stat()
            os.fchown(handle, folder.st_uid, folder.st_gid)
        return handle

    def _take(self, handle: int, patience: float) -> None:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise _busy(_holder(handle)) from None
            else:
                return
            self._pause(_BETWEEN_TRIES)


def _busy(holder: Holder | None) -> ConflictError:
    if holder is None:
        return ConflictError("toggle_running.unknown")
    since = datetime.fromisoformat(holder.since).astimezone().strftime("%H:%M:%S")
    return ConflictError("toggle_running", what=f"{holder.verb} by {holder.actor} since {since}", pid=holder.pid)


def _holder(handle: int) -> Holder | None:
    """Who wrote its name there; None in the moment between locking and writing."""
    text = os.pread(handle, 4096, 0)
    return Holder(**json.loads(text)) if text else None


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)
