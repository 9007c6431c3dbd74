"""The workers' JSON files, on disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from concord.errors import NotFoundError, SettingsError, UsageError, nearest
from concord.manager.config import WorkerDocument, read, refuse_bad_name, resolve
from concord.model.daemon import INSTANCE
from concord.model.worker import BUILT_IN, WorkerConfig
from concord.settings import WorkerSettings

log = structlog.get_logger(__name__)

# A few lines are all that may stand in one; whoever may write there could put anything there.
_MOST_OCTETS: Final = 65_536


class WorkerFiles:
    """Every `NAME.json` of one directory, and the workers that need none."""

    def __init__(self, directory: Path, settings: WorkerSettings) -> None:
        self._directory = directory
        self._settings = settings

    def instances(self) -> list[str]:
        """Those that need no file, then the others by name."""
        return [*BUILT_IN, *sorted({name for name in self._stems() if INSTANCE.fullmatch(name)} - set(BUILT_IN))]

    def misnamed(self) -> list[Path]:
        """Files that are no worker's, because none can have that name."""
        return [self.path(name) for name in sorted(self._stems()) if not INSTANCE.fullmatch(name)]

    def config(self, instance: str) -> WorkerConfig:
        """What it runs with. Raises NotFoundError where nothing says so, SettingsError for a file that is wrong."""
        return resolve(instance, self.document(instance), self._settings, file=self.path(instance))

    def configs(self) -> list[WorkerConfig]:
        """Of all workers."""
        return [self.config(instance) for instance in self.instances()]

    def usable(self) -> list[WorkerConfig]:
        """Of all workers whose files are right: what the others share must not stand still for one of them."""
        found = []
        for instance in self.instances():
            try:
                found.append(self.config(instance))
            except SettingsError as error:
                log.warning("worker.unusable", worker=instance, error=error)
        return found

    def document(self, instance: str) -> WorkerDocument:
        """What its file says; nothing, where a built-in worker has none."""
        refuse_bad_name(instance)
        path = self.path(instance)
        try:
            return read(_text(path), file=path)
        except FileNotFoundError:
            if instance in BUILT_IN:
                return WorkerDocument()
            near = nearest(instance, self.instances())
            raise NotFoundError("worker", name=instance, file=path, near=near) from None
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SettingsError("worker_unreadable", file=path, cause=cause) from None

    def path(self, instance: str) -> Path:
        """Where its file is, or would be."""
        return self._directory / f"{instance}.json"

    def write(self, instance: str, document: WorkerDocument) -> Path:
        """Put its file in place, the old one or the new one being there at any moment; where. Raises UsageError."""
        refuse_bad_name(instance)
        path = self.path(instance)
        resolve(instance, document, self._settings, file=path)
        fresh = path.with_suffix(".new")
        tree = document.model_dump(mode="json", exclude_none=True)
        try:
            self._directory.mkdir(exist_ok=True)
            fresh.write_text(f"{json.dumps(tree, indent=2)}\n", encoding="utf-8")
            fresh.chmod(0o640)
            with suppress(PermissionError):
                shutil.chown(fresh, group=self._directory.stat().st_gid)
            fresh.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from None
        return path

    def remove(self, instance: str) -> None:
        """Take its file away, if there is one. Raises UsageError."""
        refuse_bad_name(instance)
        try:
            self.path(instance).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.path(instance), error) from None

    @contextmanager
    def taken_away(self, instance: str) -> Iterator[None]:
        """Its file is away inside, and for good if all goes well there; else it is as it was. Raises UsageError."""
        refuse_bad_name(instance)
        path = self.path(instance)
        aside = path.with_suffix(".gone")
        try:
            with suppress(FileNotFoundError):
                path.replace(aside)
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            yield
        except BaseException:
            with suppress(OSError):
                aside.replace(path)
            raise
        with suppress(OSError):
            aside.unlink()

    def _stems(self) -> set[str]:
        return {file.stem for file in self._directory.glob("*.json")}


def _text(path: Path) -> str:
    """What stands in it. Raises OSError, also for what would keep a reader waiting or fill its memory."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            cause = "it is no regular file"
            raise OSError(errno.EINVAL, cause)
        octets = file.read(_MOST_OCTETS + 1)
    if len(octets) > _MOST_OCTETS:
        cause = "it is longer than 64 KiB"
        raise OSError(errno.EFBIG, cause)
    return octets.decode()


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError("worker_unwritable", file=path, cause=error.strerror)
