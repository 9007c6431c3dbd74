"""Applications registered with OAuth2 providers, in the database."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Engine, Row, delete, select

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.oauth_tables import oauth_clients, oauth_grants
from concord.adapters.sql.tables import accounts
from concord.adapters.sql.upsert import insert_for
from concord.errors import ConflictError, NotFoundError
from concord.model.oauth import OAuthClient, OAuthProvider
from concord.ports import Clock

# With another one of these it is another application: nothing that was granted holds for it.
_WHOSE: Final = ("provider", "issuer", "client_id")


class SqlOAuthClients:
    """Keeps `ports.OAuthClients`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def all(self) -> list[OAuthClient]:
        """By name."""
        with reading(self._engine) as connection:
            return [_client_of(row) for row in connection.execute(select(oauth_clients).order_by(oauth_clients.c.name))]

    def get(self, client: int | str) -> OAuthClient:
        """By id or name."""
        named = oauth_clients.c.name == client if isinstance(client, str) else oauth_clients.c.id == client
        with reading(self._engine) as connection:
            row = connection.execute(select(oauth_clients).where(named)).one_or_none()
        if row is None:
            raise NotFoundError("oauth_client", oauth_client=client)
        return _client_of(row)

    def save(self, client: OAuthClient) -> OAuthClient:
        """Add, or change the one of that name."""
        values = {
            "provider": client.provider.value,
            "client_id": client.client_id,
            "secret": client.secret,
            "tenant": client.tenant,
            "issuer": client.issuer,
            "scopes": list(client.scopes),
        }
        with transaction(self._engine) as connection:
            put = insert_for(connection, oauth_clients).values(
                values | {"name": client.name, "created_at": self._clock()}
            )
            changed = put.on_conflict_do_update(index_elements=[oauth_clients.c.name], set_=values)
            before = connection.execute(select(oauth_clients).where(oauth_clients.c.name == client.name)).one_or_none()
            if before is not None and any(getattr(before, name) != values[name] for name in _WHOSE):
                # What one provider gave must not be shown to another.
                connection.execute(delete(oauth_grants).where(oauth_grants.c.client_id == before.id))
            return _client_of(connection.execute(changed.returning(oauth_clients)).one())

    def remove(self, name: str) -> None:
        """Unless an account logs in with it."""
        living = accounts.c.removed_at.is_(None)
        with transaction(self._engine) as connection:
            row = connection.execute(select(oauth_clients.c.id).where(oauth_clients.c.name == name)).one_or_none()
            if row is None:
                raise NotFoundError("oauth_client", oauth_client=name)
            using = select(accounts.c.name).where(living, accounts.c.oauth_client == name).order_by(accounts.c.name)
            users = [user.name for user in connection.execute(using.limit(6))]
            if users:
                told = ", ".join(users[:5]) + (", …" if len(users) > 5 else "")  # noqa: PLR2004 - five are shown
                raise ConflictError("oauth_client_used", oauth_client=name, accounts=told)
            # Of accounts that use another client by now.
            connection.execute(delete(oauth_grants).where(oauth_grants.c.client_id == row.id))
            connection.execute(delete(oauth_clients).where(oauth_clients.c.id == row.id))


def _client_of(row: Row[Any]) -> OAuthClient:
    return OAuthClient(
        id=row.id,
        name=row.name,
        provider=OAuthProvider(row.provider),
        client_id=row.client_id,
        secret=row.secret,
        tenant=row.tenant,
        issuer=row.issuer,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
    )
