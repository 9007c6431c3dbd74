"""The vault: passwords and handlers' secrets are stored only as ciphertext; the key lies where none of them is.

A secret is sealed for the place where it lies (`concord.model.binding`) and opens nowhere else: AES-256-GCM with the
place as associated data. What an older version sealed is bound to nothing (Fernet); it opens until a rotation has
sealed all of it again, which the database's check value says.

Keys stand one per line, newest first: the first seals, any of them opens. `concord secrets rotate` changes the key
while everything runs; the ring in the database (`concord.model.key_ring`) hands the new key to the daemons.
"""

from __future__ import annotations

import base64
import binascii
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
from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from concord.errors import SecretKeyError, SecretMovedError
from concord.model.binding import Binding, bound_to, of_ring_key
from concord.model.key_ring import KeyRing, Link, WrappedKey
from concord.settings import Settings, credential_file

log = structlog.get_logger(__name__)

CREDENTIAL: Final = "secret_key"
VARIABLE: Final = "CONCORD_SECRET_KEY"
KEY_LENGTH: Final = 44  # 32 octets in base64
# Between two looks for a key that opens the same secret.
PAUSE: Final = 1.0
_MOST_HOPELESS: Final = 1000
# In front of a bound secret, then the key's fingerprint: "c2.0123456789abcdef.…". Fernet's tokens begin with "gAAAA".
_BOUND: Final = b"c2."
_NONCE: Final = 12
# What the check value of an older version opens to.
PLAIN_CHECK: Final = "concord"


class KeySet:
    """The keys of one moment: one seals, each opens. Never changes. Keeps `ports.Vault`."""

    def __init__(self, keys: Mapping[str, str], *, sealing: str, own: frozenset[str], strict: bool = True) -> None:
        self.strict = strict  # whether a secret that is bound to nothing opens nowhere
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
        joined = KeySet(keys, sealing=ring.seals or self._sealing, own=self.own)
        return KeySet(keys, sealing=joined.sealing, own=self.own, strict=not joined._is_older_check(ring.check))

    def keeping(self, former: KeySet | None) -> KeySet:
        """The former set's keys open as well: a page in somebody's browser may hold what one of them sealed."""
        if former is None or former.fingerprints <= self.fingerprints:
            return self
        return KeySet(
            {**self._keys, **{name: former.line(name) for name in former.fingerprints - self.fingerprints}},
            sealing=self._sealing,
            own=self.own,
            strict=self.strict,
        )

    def wrap(self, key: str, *, link: Link, by: str, now: datetime) -> WrappedKey:
        """A key for the ring, sealed with the one of this fingerprint, and bound: no row can send it as a password."""
        name = fingerprint(key)
        sealed = _bound(by, self.line(by), key, of_ring_key(name, by))
        return WrappedKey(fingerprint=name, wrapped_by=by, link=link, sealed=sealed, created_at=now)

    def seal(self, plain: str, where: Binding = b"") -> bytes:
        """For one place; without any, for what is read back at once and never kept."""
        if not where:
            return self._sealer.encrypt(plain.encode())
        return _bound(self._sealing, self.line(self._sealing), plain, where)

    def unseal(self, sealed: bytes, where: Binding = b"") -> str:
        """With any of the keys. Raises SecretKeyError; SecretMovedError where it was sealed for another place."""
        sealed = _octets(sealed)
        if sealed.startswith(_BOUND):
            return self._unseal_bound(sealed, where)
        try:
            plain = self._opener.decrypt(sealed).decode()
        except InvalidToken as error:
            raise SecretKeyError("wrong") from error
        if where and self.strict:
            raise _moved(where)
        return plain

    def _unseal_bound(self, sealed: bytes, where: Binding) -> str:
        name, _, text = sealed.removeprefix(_BOUND).partition(b".")
        key = self._keys.get(name.decode("ascii", "replace"))
        if key is None:
            raise SecretKeyError("wrong")
        try:
            return _opened(key, text, where)
        except (InvalidTag, ValueError, binascii.Error):
            raise _moved(where) from None

    def reseal(self, sealed: bytes, where: Binding = b"") -> bytes:
        """Seal a secret again under the current key; return it unchanged where that key sealed it for a place."""
        return sealed if self.is_newest(sealed, where) else self.seal(self.unseal(sealed, where), where)

    def is_newest(self, sealed: bytes, where: Binding = b"") -> bool:
        """Whether the key that seals now sealed this, for a place if it has one."""
        sealed = _octets(sealed)
        if sealed.startswith(_BOUND):
            return sealed.startswith(_BOUND + self._sealing.encode() + b".")
        if where:
            return False
        try:
            self._sealer.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def _is_older_check(self, check: bytes | None) -> bool:
        """Whether the database's check value is of a version that bound nothing; no other one makes such a value.

        Keys of the ring do not count: the old key stays in the ring after a rotation, or is written back into it.
        """
        if not check or check.startswith(_BOUND):
            return False
        own = MultiFernet([Fernet(self._keys[name]) for name in self.own])
        try:
            return own.decrypt(check).decode() == PLAIN_CHECK
        except InvalidToken:
            return False

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

    def __init__(
        self,
        keys: Callable[[], list[str]],
        ring: Callable[[], KeyRing] = KeyRing,
        tell: Callable[[SecretMovedError], object] = lambda _error: None,
    ) -> None:
        """`tell` is called once for each secret that was refused at its place."""
        self._read = keys
        self._ring = ring
        self._tell = tell
        self._told: set[int] = set()
        self._held: KeySet | None = None
        self._reading = Lock()
        self._hopeless: dict[int, float] = {}  # what did not open with all that there is, and when that was seen

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        ring: Callable[[], KeyRing] = KeyRing,
        tell: Callable[[SecretMovedError], object] = lambda _error: None,
    ) -> FernetVault:
        """The keys that the settings name. Raises SecretKeyError at once where there is none, or none that is one."""
        vault = cls(_source(settings), ring, tell)
        vault._held = KeySet.of(vault._read())  # the database is not needed yet
        return vault

    def look(self) -> KeySet:
        """The keys that there are now. Raises SecretKeyError, DatabaseDownError."""
        return KeySet.of(self._read()).joined(self._ring())

    def seal(self, plain: str, where: Binding = b"") -> bytes:
        """Under the key that is newest now: a long-lived process must not go on with one that was taken away."""
        return self.look().seal(plain, where)

    def unseal(self, sealed: bytes, where: Binding = b"") -> str:
        """With any of the keys, those included that came while this process ran."""
        sealed = _octets(sealed)
        try:
            return self._unseal(sealed, where)
        except SecretMovedError as error:
            self._tell_once(sealed, where, error)
            raise

    def _unseal(self, sealed: bytes, where: Binding) -> str:
        held = self._held
        if where and not sealed.startswith(_BOUND):
            # Whether that still opens, the database says: another process may have sealed all of them again since.
            return self.look().unseal(sealed, where)
        try:
            if held is not None:
                return held.unseal(sealed, where)
        except SecretMovedError:
            raise
        except SecretKeyError:
            if not self._is_worth_a_look(sealed):
                raise
        try:
            return self._unseal_with_newer(held, sealed, where)
        except SecretMovedError:
            raise
        except SecretKeyError:
            self._note_hopeless(sealed)
            raise

    def _tell_once(self, sealed: bytes, where: Binding, error: SecretMovedError) -> None:
        """A mailbox is polled every minute; one line in the audit says it all."""
        mark = hash((sealed, where))
        if mark in self._told:
            return
        if len(self._told) >= _MOST_HOPELESS:
            self._told.clear()
        self._tell(error)
        self._told.add(mark)

    def reseal(self, sealed: bytes, where: Binding = b"") -> bytes:
        """The same secret under the newest key."""
        return self.look().reseal(sealed, where)

    def _unseal_with_newer(self, held: KeySet | None, sealed: bytes, where: Binding) -> str:
        """Of many threads that ask at one moment, one reads for all; but what another one read may be too old."""
        with self._reading:
            if self._held is not None and self._held is not held:
                with suppress(SecretKeyError):
                    return self._held.unseal(sealed, where)
            self._held = self.look().keeping(self._held)
            return self._held.unseal(sealed, where)

    def _is_worth_a_look(self, sealed: bytes) -> bool:
        """A secret that no key opens must not have the files and the database read at every try."""
        return monotonic() - self._hopeless.get(hash(sealed), -PAUSE) >= PAUSE

    def _note_hopeless(self, sealed: bytes) -> None:
        if len(self._hopeless) >= _MOST_HOPELESS:
            self._hopeless.clear()
        self._hopeless[hash(sealed)] = monotonic()


def _aead(key: str) -> AESGCM:
    """A key of its own, derived: one key is never used by two ciphers."""
    octets = base64.urlsafe_b64decode(key)
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"concord bound secret 2").derive(octets))


def _octets(sealed: object) -> bytes:
    """SQLite gives back the type that somebody wrote, whatever the column's is."""
    return sealed if isinstance(sealed, bytes) else str(sealed).encode()


def _bound(name: str, key: str, plain: str, where: Binding) -> bytes:
    nonce = os.urandom(_NONCE)
    closed = _aead(key).encrypt(nonce, plain.encode(), where)
    return _BOUND + name.encode() + b"." + base64.urlsafe_b64encode(nonce + closed)


def _opened(key: str, text: bytes, where: Binding) -> str:
    octets = base64.urlsafe_b64decode(text)
    return _aead(key).decrypt(octets[:_NONCE], octets[_NONCE:], where).decode()


def _moved(where: Binding) -> SecretMovedError:
    return SecretMovedError(place=bound_to(where) if where else None)


def fingerprint(key: str) -> str:
    """Names a key and tells nothing of it: a key is 256 random bits."""
    return sha256(b"concord key\0" + key.encode()).hexdigest()[:16]


def _unwrapped(wrapped: WrappedKey, opener: str) -> dict[str, str]:
    try:
        if wrapped.sealed.startswith(_BOUND):
            text = wrapped.sealed.rpartition(b".")[2]
            key = _opened(opener, text, of_ring_key(wrapped.fingerprint, wrapped.wrapped_by))
        else:  # of an older version, in the middle of a rotation
            key = Fernet(opener).decrypt(wrapped.sealed).decode()
    except (InvalidToken, InvalidTag, ValueError, binascii.Error):
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
