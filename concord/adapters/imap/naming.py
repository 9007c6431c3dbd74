"""Saying who we are (RFC 2971). NetEase opens no folder to a client that has not ("Unsafe Login")."""

from __future__ import annotations

from concord import __version__
from concord.adapters.imap.errors import RAISED, facts_of, is_refusal, lost
from concord.adapters.imap.wire import Client
from concord.model.account import Account
from concord.model.provider import provider_of


def introduce(account: Account, client: Client) -> None:
    """ID, where the server offers it or its provider is known to want it. A refusal changes nothing."""
    try:
        offered = b"ID" in client.capabilities()
        if offered or provider_of(account.host).wants_id:
            client.wire.xatom("ID", f'("name" "Concord" "version" "{__version__}")')
    except RAISED as error:
        if not is_refusal(error):
            raise lost(error, facts_of(account)) from error
