"""The file of keys: where it is, and changing it so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from concord.errors import ConflictError, ExistsError, SecretKeyError, UsageError
from concord.settings import Settings, credential_prefix, credentials_directory, load

_NAME: Final = "secret_key"
_VARIABLE: Final = "CONCORD_SECRET_KEY"
_MODE: Final = 0o600


def place() -> Path:
    """Where the settings say that the key is. Raises UsageError where they say nothing."""
    settings = load()
    folder = credentials_directory()
    if settings.secret_key_file:
        return settings.secret_key_file
    if folder:
        return folder / f"{credential_prefix(folder)}{_NAME}"
    raise UsageError("key_place")


def of_settings(settings: Settings) -> Path:
    """The file that can be changed. Raises SecretKeyError where the key comes from somewhere else."""
    folder = credentials_directory()
    path = settings.secret_key_file or (folder / f"{credential_prefix(folder)}{_NAME}" if folder else None)
    # The environment is stronger than the credential file: changing that one would change nothing.
    from_environment = not settings.secret_key_file and any(name.upper() == _VARIABLE for name in os.environ)
    if path is None or from_environment or not path.is_file():
        raise SecretKeyError("no_file", file=path)
    return path


def keys(path: Path) -> list[str]:
    """Every key of the file, the newest first."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretKeyError("file_unreadable", file=path, cause=error) from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def create(path: Path, key: str) -> None:
    """A new file. Raises ExistsError where there is one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, [key])
        _give_to_owner_of_folder(path)
    except FileExistsError:
        raise ExistsError("key", file=path) from None
    except OSError as error:
        raise UsageError("key_file_not_made", file=path, cause=error.strerror) from None


def write(path: Path, lines: Sequence[str]) -> None:
    """A new file for its owner only, durable before anything relies on it. Raises OSError, FileExistsError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="ascii") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    _keep(path.parent)


def _give_to_owner_of_folder(path: Path) -> None:
    """Made by root, read by the daemons' user."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else on this host changes the file meanwhile. Raises ConflictError where somebody does."""
    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        try:
            # The folder itself: whatever lies in it becomes a credential.
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError("rotation_running", file=path) from None
        yield
    finally:
        os.close(folder)


def replace(path: Path, lines: Sequence[str]) -> None:
    """These keys instead, in one step, with the same owner and mode."""
    path = path.resolve()
    fresh = path.with_name(f".{path.name}.new")
    try:
        before = path.stat()
        fresh.unlink(missing_ok=True)
        write(fresh, lines)
        fresh.chmod(stat.S_IMODE(before.st_mode))
        if os.geteuid() == 0:
            os.chown(fresh, before.st_uid, before.st_gid)
        fresh.replace(path)
        _keep(path.parent)
    except OSError as error:
        raise UsageError("key_file_unchanged", file=path, cause=error.strerror) from None


def _keep(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
