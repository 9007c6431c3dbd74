"""From a mail address to its IMAP server, and what is known of the big providers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from concord.model.account import Tls
from concord.model.discovery import DiscoverySource, FoundServer, Outcome
from concord.model.provider import GENERIC, PROVIDERS, Provider
from concord.model.user import Permission
from concord.services.discovery import discover
from concord.web.i18n import gettext
from concord.web.rest import Model, Page, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("discovery", tag="Mailboxes")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]


class AddressIn(Model):
    """Whose server is sought."""

    address: Annotated[str, Field(max_length=320, description="`ann@example.org`")]


class ServerOut(Model):
    """An IMAP server that may be the address's own; the fields are those of a new mailbox."""

    host: str
    port: int
    tls: Tls
    user: str
    provider: str = Field(description="The key of a preset; `generic` for others.")
    source: DiscoverySource = Field(description="Who says so.")
    place: str = Field(description="What was asked: a name in DNS, a host, a URL.")

    @classmethod
    def of(cls, found: FoundServer) -> ServerOut:
        """As the API tells it."""
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class AskedOut(Model):
    """One question, and what came of it."""

    source: DiscoverySource
    place: str
    outcome: Outcome


class DiscoveryOut(Model):
    """All that could be found out."""

    address: str
    found: list[ServerOut] = Field(description="The likeliest first.")
    asked: list[AskedOut]


class PresetOut(Model):
    """A provider."""

    key: str
    name: str
    hosts: list[str] = Field(description="The first is the one to begin with.")
    port: int
    tls: Tls
    oauth: str | None = Field(description="Whose sign-in it takes: `google`, `microsoft`; null: passwords.")
    wants_oauth: bool = Field(description="It takes nothing else.")
    login_hint: str = Field(description="What it takes as a password; in the language of Accept-Language.")
    help: str = Field(description="The provider's own page.")

    @classmethod
    def of(cls, provider: Provider) -> PresetOut:
        """In the reader's words."""
        said = {name: getattr(provider, name) for name in cls.model_fields}
        words = {name: gettext(said[name]) for name in ("name", "login_hint")}
        return cls(**{**said, **words, "hosts": list(provider.hosts)})


@router.post("", openapi_extra=needs(Permission.CONFIGURE))
def find_servers(wanted: AddressIn, _me: Configurer, parts: Parts) -> DiscoveryOut:
    """Ask everybody who may know: presets, DNS, the domain's own file, usual names. It takes some seconds at most."""
    found = discover(parts, wanted.address)
    return DiscoveryOut(
        address=found.address,
        found=[ServerOut.of(one) for one in found.found],
        asked=[AskedOut(source=one.source, place=one.place, outcome=one.outcome) for one in found.asked],
    )


@router.get("/presets", openapi_extra=needs(Permission.READ))
def list_presets(_me: Reader) -> Page[PresetOut]:
    """The big providers, and what any other server usually takes."""
    return Page(items=[PresetOut.of(one) for one in (*PROVIDERS, GENERIC)])
