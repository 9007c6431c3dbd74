"""Who may use the admin site: users, signing in, and tokens for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from concord.adapters.passwords import Place
from concord.auditing import audited
from concord.bootstrap import Concord, now
from concord.errors import PasswordsBusyError, ProofNeededError, SignInRefusedError, TooManyAttemptsError, UsageError
from concord.model.caller import Caller
from concord.model.throttle import Budget, Lane, Limit, Pauses, network_of
from concord.model.user import ApiToken, Permission, Role, User, WebSession
from concord.ports import Clock
from concord.services.common_passwords import is_common, is_of_context

NAME: Final = re.compile(r"[\w][\w.@+-]{0,63}")
SHORTEST: Final = 12
LONGEST: Final = 1024
_FEW_LETTERS: Final = 4
# How many attempts are free before each further one must wait: for one name from one network, for a network, for a
# browser that the user has signed in with.
FREE_HERE, _FREE_NETWORK, _FREE_BROWSER = 5, 30, 10
# For a name from all networks together: first those attempts that are free for their network, apart from them those of
# networks that guess on. So a crowd that guesses on keeps no newcomer waiting, and all guesses of an hour are bounded.
NEWCOMERS: Final = (300, timedelta(seconds=12))
GUESSERS: Final = (20, timedelta(seconds=60))
MOST_GUESSES_AN_HOUR: Final = 300 + 3600 // 12 + 20 + 3600 // 60
# What is sensitive asks for the password again where it was not given for so long.
PROVED: Final = timedelta(minutes=10)
LONGEST_TOKEN_DAYS: Final = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The values of two cookies."""

    session: str = field(repr=False)
    browser: str = field(repr=False)  # by which it is known the next time


class Identity:
    """All of it, on the parts of one process."""

    def __init__(self, concord: Concord, *, clock: Clock = now) -> None:
        self._parts = concord
        self._clock = clock

    def add_user(self, name: str, role: Role, password: str, *, by: Caller) -> User:
        """Raises UsageError, ExistsError."""
        with audited(self._parts.audit, by, "user.add", name, detail=f"role {role}"):
            if not NAME.fullmatch(name):
                raise UsageError("user_name", name=name)
            check_password(name, password)
            return self._parts.users.add(name, role, self._parts.passwords.hash(password))

    def set_password(self, name: str, password: str, *, keeps_tokens: bool = False, by: Caller) -> User:
        """All of the user's sessions end, and unless kept the user's tokens. Raises UsageError, NotFoundError."""
        with audited(self._parts.audit, by, "user.password", name, detail="tokens kept" if keeps_tokens else ""):
            self._parts.users.get(name)
            check_password(name, password)
            kept = self._parts.passwords.hash(password)
            return self._parts.users.set_password(name, kept, keeps_tokens=keeps_tokens)

    def change_own_password(self, user: User, before: str, after: str, *, keeps_tokens: bool, by: Caller) -> None:
        """Of a user who knows the present one. Raises SignInRefusedError, TooManyAttemptsError, UsageError."""
        self._check_own(user, before, by=by)
        self.set_password(user.name, after, keeps_tokens=keeps_tokens, by=by)

    def prove(self, session: WebSession, password: str, *, by: Caller) -> None:
        """What is sensitive is for the person, not for a session that somebody else may have got hold of.

        Nothing is asked where the password was given in the last minutes. Raises ProofNeededError, SignInRefusedError,
        TooManyAttemptsError.
        """
        if is_proved(session, self._clock()):
            return
        if not password:
            raise ProofNeededError
        self._check_own(session.user, password, by=by)
        self._parts.sessions.prove(session.id)

    def _check_own(self, user: User, password: str, *, by: Caller) -> None:
        """Counted by user: a session may guess from everywhere."""
        key = f"own:{user.id}"
        self._take_turn((Pauses(key, FREE_HERE),))
        if not self._parts.passwords.verify(user.password, password, lane=Lane.KNOWN):
            error = SignInRefusedError("present_password")
            self._parts.refusals.sign_in(user.name, user.name, error, by=by)
            raise error
        self._parts.throttle.forget(key)

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

    def sign_in(self, name: str, password: str, *, address: str, agent: str, browser: str = "") -> SignedIn:
        """A session. `browser` is the cookie of one that may be known.

        Raises SignInRefusedError, TooManyAttemptsError, PasswordsBusyError.
        """
        found = self._parts.users.find(name)
        known = self._parts.known_browsers.find(browser, found.id) if found and browser else None
        by = Caller(actor=found.name if found else "", via="admin", address=address)
        limits, lane = self._limits(name, network_of(address), known)
        try:
            # The place comes first: an attempt that nobody looks at counts nowhere and writes nothing.
            with self._parts.passwords.place(lane) as place:
                self._take_turn(limits)
                user = _checked(place, found, password)
        except (SignInRefusedError, TooManyAttemptsError, PasswordsBusyError) as error:
            self._parts.refusals.sign_in(name, found.name if found else None, error, by=by)
            raise
        own, *network = _pauses(limits)
        self._parts.throttle.forget(own)
        # Only what this attempt counted: one's own success makes no room for guesses at others.
        self._parts.throttle.refund(*network)
        with suppress(PasswordsBusyError):  # another sign-in will do
            if self._parts.passwords.is_outdated(user.password):
                self._parts.users.rehash(user.id, user.password, self._parts.passwords.hash(password))
        with audited(self._parts.audit, by, "user.sign_in", user.name):
            session = self._parts.sessions.begin(user.id, address=address, agent=agent)
            self._parts.users.signed_in(user.id, self._clock())
        return SignedIn(session=session, browser=self._parts.known_browsers.remember(browser, user.id))

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
                raise UsageError("token_no_name")
            if not wanted:
                raise UsageError("token_no_scope")
            if days is not None and not 1 <= days <= LONGEST_TOKEN_DAYS:
                raise UsageError("token_days", days=days)
            self.refuse_beyond(wanted, user.role.permissions)
            expires = None if days is None else self._clock() + timedelta(days=days)
            return self._parts.api_tokens.add(name.strip(), user, wanted, expires_at=expires)

    @staticmethod
    def refuse_beyond(wanted: frozenset[Permission], allowed: frozenset[Permission]) -> None:
        """No token does more than whoever makes it. Raises UsageError."""
        if beyond := wanted - allowed:
            raise UsageError("token_scopes", scopes=", ".join(sorted(beyond)))

    def revoke_token(self, token_id: int, *, of: User | None = None, by: Caller) -> ApiToken:
        """Only one of that user's, if said. Raises NotFoundError."""
        with audited(self._parts.audit, by, "token.revoke", str(token_id)):
            return self._parts.api_tokens.revoke(token_id, user_id=of.id if of else None)

    def _limits(self, name: str, network: str, known: int | None) -> tuple[tuple[Limit, ...], Lane]:
        """What an attempt counts for, and where it waits. A known browser has a budget that no stranger can fill."""
        if known is not None:
            return (Pauses(f"browser:{known}", _FREE_BROWSER),), Lane.KNOWN
        short = name[:64].lower()
        here = Pauses(f"login:{short}@{network}", FREE_HERE)
        before = self._parts.throttle.attempts(here.key)
        is_free = before < FREE_HERE
        budget = Budget(f"newcomers:{short}", *NEWCOMERS) if is_free else Budget(f"guessers:{short}", *GUESSERS)
        return (here, Pauses(f"network:{network}", _FREE_NETWORK), budget), Lane.AGAIN if before else Lane.FIRST

    def _take_turn(self, limits: Sequence[Limit]) -> None:
        if wait := self._parts.throttle.attempt(limits):
            raise TooManyAttemptsError("sign_in", seconds=max(1, ceil(wait.total_seconds())))


def _pauses(limits: Sequence[Limit]) -> list[str]:
    """The keys of those limits; the user's own comes first."""
    return [limit.key for limit in limits if isinstance(limit, Pauses)]


def _checked(place: Place, user: User | None, password: str) -> User:
    good = place.verify(user.password if user else None, password)
    if user is None or not good or not user.enabled:
        raise SignInRefusedError("wrong")
    return user


def is_proved(session: WebSession, at: datetime) -> bool:
    """Whether its user gave the password in the last minutes."""
    return session.proved_at is not None and at - session.proved_at <= PROVED


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
    elif is_common(password):
        cause = "it is one of those that everybody tries first"
    elif is_of_context(password, name):
        cause = "it is made of words that everybody connects with Concord"
    if cause:
        raise UsageError("password_weak", cause=cause)
