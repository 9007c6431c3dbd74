"""A vault that hides nothing: what is sealed is the plain text, marked."""

from __future__ import annotations

from concord.errors import SecretKeyError

_MARK = b"sealed:"


class NullVault:
    """Keeps the port's promises without a key."""

    def seal(self, plain: str) -> bytes:
        return _MARK + plain.encode()

    def unseal(self, sealed: bytes) -> str:
        if not sealed.startswith(_MARK):
            raise SecretKeyError("wrong")
        return sealed.removeprefix(_MARK).decode()

    def reseal(self, sealed: bytes) -> bytes:
        return self.seal(self.unseal(sealed))
