"""A vault that hides nothing: what is sealed is the plain text, marked."""

from __future__ import annotations

from concord.errors import SecretKeyError, SecretMovedError

_MARK = b"sealed:"
_BOUND = b"bound:"


class NullVault:
    """Keeps the port's promises without a key."""

    def seal(self, plain: str, where: bytes = b"") -> bytes:
        return _MARK + plain.encode() if not where else _BOUND + where + b"\0" + plain.encode()

    def unseal(self, sealed: bytes, where: bytes = b"") -> str:
        """What is bound to nothing opens everywhere, as in a database that an older version has filled."""
        if sealed.startswith(_MARK):
            return sealed.removeprefix(_MARK).decode()
        if not sealed.startswith(_BOUND):
            raise SecretKeyError("wrong")
        place, _, plain = sealed.removeprefix(_BOUND).partition(b"\0")
        if place != where:
            raise SecretMovedError(place=where.decode())
        return plain.decode()

    def reseal(self, sealed: bytes, where: bytes = b"") -> bytes:
        return self.seal(self.unseal(sealed, where), where)
