"""What accounts were granted, who fetches a token just now, and consents under way."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Row, delete, insert, or_, select, update

from concord.adapters.sql.accounts import forgive
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.oauth_tables import oauth_grants, oauth_requests
from concord.adapters.sql.tables import accounts
from concord.adapters.sql.upsert import insert_for
from concord.model.account import AuthKind
from concord.model.oauth import OAuthFlow, OAuthGrant, OAuthRequest
from concord.ports import Clock

_HELD_BY_NOBODY: Final = {"held_until": None}
_WELL: Final = {"refused_at": None, "error_code": None, "error": None}


class SqlOAuthGrants:
    """Keeps `ports.OAuthGrants`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def get(self, account_id: int) -> OAuthGrant | None:
        """None where nobody has signed in."""
        with reading(self._engine) as connection:
            wanted = select(oauth_grants).where(oauth_grants.c.account_id == account_id)
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _grant_of(row)

    def keep(self, grant: OAuthGrant) -> None:
        """In place of what was there."""
        values = asdict(grant) | {"flow": grant.flow.value} | _HELD_BY_NOBODY
        with transaction(self._engine) as connection:
            put = insert_for(connection, oauth_grants).values(values)
            connection.execute(put.on_conflict_do_update(index_elements=[oauth_grants.c.account_id], set_=values))
            forgive(connection, grant.account_id)

    def hold(self, account_id: int, *, until: datetime) -> bool:
        """One process at a time: providers that change the refresh token with each use take back both at a race."""
        free = or_(oauth_grants.c.held_until.is_(None), oauth_grants.c.held_until <= self._clock())
        taken = update(oauth_grants).where(oauth_grants.c.account_id == account_id, free).values(held_until=until)
        with transaction(self._engine) as connection:
            return connection.execute(taken).rowcount == 1

    def renewed(self, grant: OAuthGrant) -> None:
        """A refresh token that changed is stored in the same moment."""
        values = {
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "expires_at": grant.expires_at,
            "refreshed_at": grant.refreshed_at,
        }
        with transaction(self._engine) as connection:
            connection.execute(update(oauth_grants).where(_same(grant)).values(values | _WELL | _HELD_BY_NOBODY))

    def refused(self, grant: OAuthGrant, *, code: str, error: str) -> bool:
        """The first time says when."""
        told = {"error_code": code, "error": error} | _HELD_BY_NOBODY
        first = update(oauth_grants).where(_same(grant), oauth_grants.c.refused_at.is_(None))
        with transaction(self._engine) as connection:
            if connection.execute(first.values(told | {"refused_at": self._clock()})).rowcount:
                return True
            connection.execute(update(oauth_grants).where(_same(grant)).values(told))
            return False

    def release(self, account_id: int) -> None:
        """For the next one."""
        here = oauth_grants.c.account_id == account_id
        with transaction(self._engine) as connection:
            connection.execute(update(oauth_grants).where(here).values(_HELD_BY_NOBODY))

    def expiring(self, before: datetime) -> list[int]:
        """Those whose token has expired long ago too: whoever is not polled must hear of a refusal as well."""
        wanted = (
            select(accounts.c.id)
            .join(oauth_grants)
            .where(
                accounts.c.removed_at.is_(None),
                accounts.c.enabled,
                accounts.c.auth != AuthKind.PASSWORD.value,
                oauth_grants.c.refused_at.is_(None),
                oauth_grants.c.expires_at < before,
            )
            .order_by(oauth_grants.c.expires_at)
        )
        with reading(self._engine) as connection:
            return list(connection.execute(wanted).scalars())

    def ask(self, request: OAuthRequest) -> None:
        """One more; those that are over go."""
        with transaction(self._engine) as connection:
            connection.execute(delete(oauth_requests).where(oauth_requests.c.expires_at <= self._clock()))
            connection.execute(insert(oauth_requests).values(asdict(request)))

    def answered(self, state: bytes, *, user_id: int | None) -> OAuthRequest | None:
        """Deleted as it is read: nobody can use it twice, nor somebody else at all."""
        whose = oauth_requests.c.user_id.is_(None) if user_id is None else oauth_requests.c.user_id == user_id
        mine = (oauth_requests.c.state == state) & whose & (oauth_requests.c.expires_at > self._clock())
        with transaction(self._engine) as connection:
            row = connection.execute(delete(oauth_requests).where(mine).returning(oauth_requests)).one_or_none()
        return None if row is None else _request_of(row)


def _same(grant: OAuthGrant) -> ColumnElement[bool]:
    """The consent that was read, not one given since."""
    return (oauth_grants.c.account_id == grant.account_id) & (oauth_grants.c.granted_at == grant.granted_at)


def _grant_of(row: Row[Any]) -> OAuthGrant:
    return OAuthGrant(
        account_id=row.account_id,
        client_id=row.client_id,
        flow=OAuthFlow(row.flow),
        refresh_token=row.refresh_token,
        access_token=row.access_token,
        expires_at=row.expires_at,
        granted_at=row.granted_at,
        refreshed_at=row.refreshed_at,
        refused_at=row.refused_at,
        error_code=row.error_code,
        error=row.error,
    )


def _request_of(row: Row[Any]) -> OAuthRequest:
    said = row._asdict()
    del said["id"]
    return OAuthRequest(**said)
