"""A user of the admin site, and what each role and token may do there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What may be allowed. A token's scopes are these words."""

    READ = "read"  # see everything but the content of mails and secrets
    MAIL = "mail"  # read mails
    SYNC = "sync"  # make the schedule equal to the accounts
    OPERATE = "operate"  # start, stop, retry, replay, test, enable
    CONFIGURE = "configure"  # accounts, rules, handlers, workflows
    ADMIN = "admin"  # users, workers' files, the audit's export


class Role(StrEnum):
    """What a person is there for."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        """All that such a user may do."""
        return _PERMISSIONS[self]


_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset(Permission) - {Permission.ADMIN},
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may sign in."""

    id: int = 0
    name: str
    role: Role
    password: str = field(default="", repr=False)  # argon2id's notation
    enabled: bool = True
    created_at: datetime
    password_at: datetime
    last_login_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """A browser that somebody signed in with."""

    id: int
    csrf: str = field(repr=False)  # what its forms bring along
    user: User
    created_at: datetime
    rotated_at: datetime
    seen_at: datetime
    address: str
    agent: str
    proved_at: datetime | None = None  # when its user last gave the password


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A program's way in. The token itself was shown once."""

    id: int = 0
    name: str
    user_id: int
    user: str
    hint: str  # its first characters
    scopes: frozenset[Permission]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
