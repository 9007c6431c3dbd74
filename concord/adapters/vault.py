"""The vault: passwords and handlers' secrets are stored only as ciphertext; the key lies where none of them is.

Keys stand one per line, newest first: the first seals, any of them opens. `concord secrets rotate` changes the key
while everything runs; the ring in the database (`concord.model.key_ring`) hands the new key to the daemons.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from time import monotonic
from types import MappingProxyType
from typing import Final

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from concord.errors import SecretKeyError
from concord.model.key_ring import KeyRing, Link, WrappedKey
from concord.settings import Settings, credential_file

log = structlog.get_logger(__name__)

CREDENTIAL: Final = "secret_key"
VARIABLE: Final = "CONCORD_SECRET_KEY"
KEY_LENGTH: Final = 44  # 32 octets in base64
# Between two looks for a key that opens the same secret.
PAUSE: Final = 1.0
_MOST_HOPELESS: Final = 1000


class KeySet:
    """The keys of one moment: one seals, each opens. Never changes. Keeps `ports.Vault`.

    Fernet: AES-128 in CBC mode with an HMAC (the specification is that of the cryptography library).
    """

    def __init__(self, keys: Mapping[str, str], *, sealing: str, own: frozenset[str]) -> None:
        self._keys = MappingProxyType(dict(keys))  # by fingerprint
        self._sealing = sealing
        self._newest = Fernet(keys[sealing]) if sealing in keys else None
        self._opener = MultiFernet([Fernet(key) for key in keys.values()])
        self.own = own  # fingerprints of those that come from outside the database

    @classmethod
    def of(cls, lines: Sequence[str]) -> KeySet:
        """Of a key file's lines, the newest first. Raises SecretKeyError where there is none, or none that is one."""
        if not lines:
            raise SecretKeyError("none")
        keys = {fingerprint(checked(key, line)): key for line, key in enumerate(lines, 1)}
        return cls(keys, sealing=next(iter(keys)), own=frozenset(keys))

    def __repr__(self) -> str:
        return f"KeySet({', '.join(self._keys)})"

    @property
    def sealing(self) -> str:
        """The fingerprint of the key that seals."""
        return self._sealing

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of every key that opens."""
        return frozenset(self._keys)

    def line(self, name: str) -> str:
        """The key with this fingerprint, as a line of the key file. Raises SecretKeyError."""
        if name not in self._keys:
            raise SecretKeyError("unknown_key", fingerprint=name)
        return self._keys[name]

    def joined(self, ring: KeyRing) -> KeySet:
        """With the keys of the ring that these open, one after the other."""
        keys = dict(self._keys)
        for _ in ring.keys:
            for wrapped in ring.keys:
                if wrapped.fingerprint not in keys and wrapped.wrapped_by in keys:
                    keys |= _unwrapped(wrapped, keys[wrapped.wrapped_by])
        return KeySet(keys, sealing=ring.seals or self._sealing, own=self.own)

    def keeping(self, former: KeySet | None) -> KeySet:
        """The former set's keys open as well: a page in somebody's browser may hold what one of them sealed."""
        if former is None or former.fingerprints <= self.fingerprints:
            return self
        return KeySet(
            {**self._keys, **{name: former.line(name) for name in former.fingerprints - self.fingerprints}},
            sealing=self._sealing,
            own=self.own,
        )

    def wrap(self, key: str, *, link: Link, by: str, now: datetime) -> WrappedKey:
        """A key for the ring, sealed with the one of this fingerprint."""
        sealed = Fernet(self.line(by)).encrypt(key.encode())
        return WrappedKey(fingerprint=fingerprint(key), wrapped_by=by, link=link, sealed=sealed, created_at=now)

    def seal(self, plain: str) -> bytes:
        return self._sealer.encrypt(plain.encode())

    def unseal(self, sealed: bytes) -> str:
        """With any of the keys."""
        try:
            return self._opener.decrypt(sealed).decode()
        except InvalidToken as error:
            raise SecretKeyError("wrong") from error

    def reseal(self, sealed: bytes) -> bytes:
        """Seal a secret again under the current key; return it unchanged where that key sealed it."""
        return sealed if self.is_newest(sealed) else self.seal(self.unseal(sealed))

    def is_newest(self, sealed: bytes) -> bool:
        """Whether the key that seals now sealed this."""
        try:
            self._sealer.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    @property
    def _sealer(self) -> Fernet:
        if self._newest is None:
            self.line(self._sealing)
        assert self._newest is not None  # noqa: S101 - `line` raises otherwise
        return self._newest


class FernetVault:
    """Holds the newest set of keys that this process has seen. Keeps `ports.Vault`.

    Keys change while a process runs: before it gives up it reads the key file and the ring again. Threads share it.
    """

    def __init__(self, keys: Callable[[], list[str]], ring: Callable[[], KeyRing] = KeyRing) -> None:
        self._read = keys
        self._ring = ring
        self._held: KeySet | None = None
        self._reading = Lock()
        self._hopeless: dict[int, float] = {}  # what did not open with all that there is, and when that was seen

    @classmethod
    def from_settings(cls, settings: Settings, ring: Callable[[], KeyRing] = KeyRing) -> FernetVault:
        """The keys that the settings name. Raises SecretKeyError at once where there is none, or none that is one."""
        vault = cls(_source(settings), ring)
        vault._held = KeySet.of(vault._read())  # the database is not needed yet
        return vault

    def look(self) -> KeySet:
        """The keys that there are now. Raises SecretKeyError, DatabaseDownError."""
        return KeySet.of(self._read()).joined(self._ring())

    def seal(self, plain: str) -> bytes:
        """Under the key that is newest now: a long-lived process must not go on with one that was taken away."""
        return self.look().seal(plain)

    def unseal(self, sealed: bytes) -> str:
        """With any of the keys, those included that came while this process ran."""
        held = self._held
        try:
            if held is not None:
                return held.unseal(sealed)
        except SecretKeyError:
            if not self._is_worth_a_look(sealed):
                raise
        try:
            return self._unseal_with_newer(held, sealed)
        except SecretKeyError:
            self._note_hopeless(sealed)
            raise

    def reseal(self, sealed: bytes) -> bytes:
        """The same secret under the newest key."""
        return self.look().reseal(sealed)

    def _unseal_with_newer(self, held: KeySet | None, sealed: bytes) -> str:
        """Of many threads that ask at one moment, one reads for all; but what another one read may be too old."""
        with self._reading:
            if self._held is not None and self._held is not held:
                with suppress(SecretKeyError):
                    return self._held.unseal(sealed)
            self._held = self.look().keeping(self._held)
            return self._held.unseal(sealed)

    def _is_worth_a_look(self, sealed: bytes) -> bool:
        """A secret that no key opens must not have the files and the database read at every try."""
        return monotonic() - self._hopeless.get(hash(sealed), -PAUSE) >= PAUSE

    def _note_hopeless(self, sealed: bytes) -> None:
        if len(self._hopeless) >= _MOST_HOPELESS:
            self._hopeless.clear()
        self._hopeless[hash(sealed)] = monotonic()


def fingerprint(key: str) -> str:
    """Names a key and tells nothing of it: a key is 256 random bits."""
    return sha256(b"concord key\0" + key.encode()).hexdigest()[:16]


def _unwrapped(wrapped: WrappedKey, opener: str) -> dict[str, str]:
    try:
        key = Fernet(opener).decrypt(wrapped.sealed).decode()
    except InvalidToken:
        return {}
    return {wrapped.fingerprint: key} if fingerprint(key) == wrapped.fingerprint else {}


def new_key() -> str:
    """A fresh key, as one line of the key file."""
    return Fernet.generate_key().decode()


def checked(key: str, line: int) -> str:
    """Validate a key and return it. Raises SecretKeyError."""
    try:
        # The decoder stops at the first '=': of two keys run together it would quietly take one.
        Fernet(key if len(key) == KEY_LENGTH else "")
    except ValueError:
        # The library's own words may quote the key; ours never do.
        raise SecretKeyError("malformed", line=line) from None
    return key


def _source(settings: Settings) -> Callable[[], list[str]]:
    """A file is read anew each time it is asked; a value from the environment stays as it is."""
    given = _lines(settings.secret_key.get_secret_value()) if settings.secret_key else []
    if settings.secret_key_file:
        return partial(_read, settings.secret_key_file)
    # The settings hold what the credential file said when they were read, which a rotation may have changed since. Only
    # the environment goes before it.
    file = credential_file(CREDENTIAL)
    if file and not any(name.upper() == VARIABLE for name in os.environ):
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
        raise SecretKeyError("file_unreadable", file=file, cause=cause) from error


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
