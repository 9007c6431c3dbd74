"""The vault: passwords and handlers' secrets are stored only as ciphertext; the key lies where none of them is.

Keys stand one per line, newest first: the first seals, any of them opens. So a key is changed while everything runs:
put the new one on top, `concord secrets rotate`, then take the old one away.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from concord.errors import SecretKeyError
from concord.settings import Settings, credential_prefix, credentials_directory

log = structlog.get_logger(__name__)

CREDENTIAL: Final = "secret_key"
VARIABLE: Final = "CONCORD_SECRET_KEY"
KEY_LENGTH: Final = 44  # 32 octets in base64
_WRONG: Final = "Put the key that sealed it back, as one more line of the key file"


class FernetVault:
    """Fernet: AES-128 in CBC mode with an HMAC (the specification is that of the cryptography library)."""

    def __init__(self, keys: Callable[[], list[str]]) -> None:
        self._keys = keys
        self._opener: MultiFernet | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> FernetVault:
        """The keys that the settings name. Raises SecretKeyError at once where there is none, or none that is one."""
        vault = cls(_source(settings))
        vault._newest()
        return vault

    def seal(self, plain: str) -> bytes:
        """Under the key that is newest now: a long-lived process must not go on with one that was taken away."""
        return self._newest().encrypt(plain.encode())

    def unseal(self, sealed: bytes) -> str:
        """With any of the keys. They are read again before giving up: they may have been changed meanwhile."""
        try:
            return (self._opener or self._newest()).decrypt(sealed).decode()
        except InvalidToken:
            pass
        try:
            return self._newest().decrypt(sealed).decode()
        except InvalidToken as error:
            raise _wrong_key() from error

    def reseal(self, sealed: bytes) -> bytes:
        """The same secret under the newest key."""
        try:
            return self._newest().rotate(sealed)
        except InvalidToken as error:
            raise _wrong_key() from error

    def _newest(self) -> MultiFernet:
        self._opener = _fernet(self._keys())
        return self._opener


def new_key() -> str:
    """A fresh key, as one line of the key file."""
    return Fernet.generate_key().decode()


def _wrong_key() -> SecretKeyError:
    return SecretKeyError("The key does not open this secret", remedy=_WRONG)


def _fernet(keys: Sequence[str]) -> MultiFernet:
    if not keys:
        raise SecretKeyError("There is no key for stored secrets")
    return MultiFernet([_key(key, line) for line, key in enumerate(keys, 1)])


def _key(key: str, line: int) -> Fernet:
    try:
        # The decoder stops at the first '=': of two keys run together it would quietly take one.
        return Fernet(key if len(key) == KEY_LENGTH else "")
    except ValueError:
        # The library's own words may quote the key; ours never do.
        raise SecretKeyError("A key for stored secrets is malformed", line=line) from None


def _source(settings: Settings) -> Callable[[], list[str]]:
    """A file is read anew each time it is asked; a value from the environment stays as it is."""
    given = _lines(settings.secret_key.get_secret_value()) if settings.secret_key else []
    if settings.secret_key_file:
        return partial(_read, settings.secret_key_file)
    folder = credentials_directory()
    # The settings hold what the credential file said when they were read, which a rotation may have changed since. Only
    # the environment goes before it.
    file = folder / f"{credential_prefix(folder)}{CREDENTIAL}" if folder else None
    if file and file.is_file() and not any(name.upper() == VARIABLE for name in os.environ):
        return partial(_read, file)
    return lambda: given


def _read(file: Path) -> list[str]:
    try:
        # systemd hands credentials over readable by the service's group or ACL; nobody else has a reason to.
        if file.stat().st_mode & stat.S_IRWXO:
            log.warning("secret_key.exposed", file=str(file), remedy=f"chmod o= {file}")
        return _lines(file.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise SecretKeyError("The file with the key cannot be read", file=file, cause=cause) from error


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
