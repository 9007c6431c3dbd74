"""Who may use the admin site: users, signing in, and tokens for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from concord.auditing import audited
from concord.bootstrap import Concord, now
from concord.errors import SignInRefusedError, TooManyAttemptsError, UsageError
from concord.model.caller import Caller
from concord.model.user import ApiToken, Permission, Role, User
from concord.ports import Clock

NAME: Final = re.compile(r"[\w][\w.@+-]{0,63}")
SHORTEST: Final = 12
LONGEST: Final = 1024
_FEW_LETTERS: Final = 4
# How many attempts are free within a quarter of an hour: for one name from one address, for a name, for an address.
_FREE_HERE, _FREE_NAME, _FREE_ADDRESS = 5, 50, 30
LONGEST_TOKEN_DAYS: Final = 3650


class Identity:
    """All of it, on the parts of one process."""

    def __init__(self, concord: Concord, *, clock: Clock = now) -> None:
        self._parts = concord
        self._clock = clock

    def add_user(self, name: str, role: Role, password: str, *, by: Caller) -> User:
        """Raises UsageError, ExistsError."""
        with audited(self._parts.audit, by, "user.add", name, detail=f"role {role}"):
            if not NAME.fullmatch(name):
                raise UsageError(
                    "This cannot be a user's name",
                    name=name,
                    remedy="Letters, digits and . @ + - _, no spaces, 64 at most; a mail address will do",
                )
            check_password(name, password)
            return self._parts.users.add(name, role, self._parts.passwords.hash(password))

    def set_password(self, name: str, password: str, *, by: Caller) -> User:
        """All of the user's sessions end. Raises UsageError, NotFoundError."""
        with audited(self._parts.audit, by, "user.password", name):
            self._parts.users.get(name)
            check_password(name, password)
            return self._parts.users.set_password(name, self._parts.passwords.hash(password))

    def change_own_password(self, user: User, before: str, after: str, *, by: Caller) -> None:
        """Of whoever knows the present one. Raises SignInRefusedError, TooManyAttemptsError, UsageError."""
        self._take_turn(user.name, by.address)
        if not self._parts.passwords.verify(user.password, before):
            raise SignInRefusedError("The present password is wrong", remedy="Type the password you signed in with")
        self.set_password(user.name, after, by=by)
        self._parts.throttle.forget(*_keys(user.name, by.address))

    def change_user(self, name: str, *, role: Role | None = None, enabled: bool | None = None, by: Caller) -> User:
        """Raises NotFoundError; ConflictError where no admin would be left."""
        said = {"role": role, "enabled": enabled}
        detail = ", ".join(f"{key} {value}" for key, value in said.items() if value is not None)
        with audited(self._parts.audit, by, "user.change", name, detail=detail):
            return self._parts.users.change(name, role=role, enabled=enabled)

    def remove_user(self, name: str, *, by: Caller) -> None:
        """With all sessions and tokens. Raises as `change_user`."""
        with audited(self._parts.audit, by, "user.remove", name):
            self._parts.users.remove(name)

    def sign_in(self, name: str, password: str, *, address: str, agent: str) -> str:
        """The cookie's value. Raises SignInRefusedError, TooManyAttemptsError."""
        by = Caller(actor=name[:64], via="admin", address=address)
        with audited(self._parts.audit, by, "user.sign_in", name[:64]):
            self._take_turn(name, address)
            user = self._parts.users.find(name)
            good = self._parts.passwords.verify(user.password if user else None, password)
            if user is None or not good or not user.enabled:
                raise SignInRefusedError("The name or the password is wrong")
        self._parts.throttle.forget(*_keys(name, address))
        if self._parts.passwords.is_outdated(user.password):
            self._parts.users.rehash(user.id, user.password, self._parts.passwords.hash(password))
        value = self._parts.sessions.begin(user.id, address=address, agent=agent)
        self._parts.users.signed_in(user.id, self._clock())
        return value

    def sign_out(self, session_id: int, *, by: Caller) -> None:
        """The cookie opens nothing any more."""
        with audited(self._parts.audit, by, "user.sign_out", by.actor):
            self._parts.sessions.end(session_id)

    def create_token(
        self, user: User, name: str, scopes: Iterable[Permission], *, days: int | None, by: Caller
    ) -> tuple[str, ApiToken]:
        """The token, shown once, and what is kept of it; `days` until it expires, None: never. Raises UsageError."""
        wanted = frozenset(scopes)
        with audited(
            self._parts.audit, by, "token.create", name, detail=f"for {user.name}: {', '.join(sorted(wanted))}"
        ):
            if not name.strip():
                raise UsageError("A token has no name", remedy="Say what it is for, so that it can be told from others")
            if not wanted:
                raise UsageError("A token has no scope", remedy="Give it at least one: read, say")
            if days is not None and not 1 <= days <= LONGEST_TOKEN_DAYS:
                raise UsageError("A token cannot live so long", days=days, remedy="Give 1 to 3650 days")
            self.refuse_beyond(wanted, user.role.permissions)
            expires = None if days is None else self._clock() + timedelta(days=days)
            return self._parts.api_tokens.add(name.strip(), user, wanted, expires_at=expires)

    @staticmethod
    def refuse_beyond(wanted: frozenset[Permission], allowed: frozenset[Permission]) -> None:
        """No token does more than whoever makes it. Raises UsageError."""
        if beyond := wanted - allowed:
            raise UsageError(
                "A token cannot do more than whoever makes it",
                scopes=", ".join(sorted(beyond)),
                remedy="Leave these scopes out, or ask somebody who has them",
            )

    def revoke_token(self, token_id: int, *, of: User | None = None, by: Caller) -> ApiToken:
        """Only one of that user's, if said. Raises NotFoundError."""
        with audited(self._parts.audit, by, "token.revoke", str(token_id)):
            return self._parts.api_tokens.revoke(token_id, user_id=of.id if of else None)

    def _take_turn(self, name: str, address: str) -> None:
        here, named, placed = _keys(name, address)
        wait = self._parts.throttle.attempt({here: _FREE_HERE, named: _FREE_NAME, placed: _FREE_ADDRESS})
        if wait:
            raise TooManyAttemptsError(
                "There were too many attempts to sign in", seconds=max(1, round(wait.total_seconds()))
            )


def check_password(name: str, password: str) -> None:
    """Raises UsageError. Length is what counts (NIST SP 800-63B, section 3.1.1)."""
    cause = None
    if len(password) < SHORTEST:
        cause = "it is too short"
    elif len(password) > LONGEST:
        cause = "it is too long"
    elif name.lower() in password.lower():
        cause = "it holds the user's name"
    elif len(set(password)) <= _FEW_LETTERS:
        cause = "it repeats a few characters"
    if cause:
        raise UsageError(
            "This password cannot be used",
            cause=cause,
            remedy="Take 12 characters or more; a few words that do not belong together are good",
        )


def _keys(name: str, address: str) -> tuple[str, str, str]:
    short = name[:64].lower()
    return f"login:{short}@{address}", f"login:{short}", f"address:{address}"
