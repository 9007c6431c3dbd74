"""What an account logs in with: its password, or a token that is good just now."""

from __future__ import annotations

from datetime import datetime

from concord.adapters.imap.errors import facts_of
from concord.errors import MailboxDeniedError, MailboxSecretError, SecretMovedError
from concord.model.account import Account
from concord.model.binding import of_password
from concord.ports import TokenSource, Vault


class Keys:
    """Opens passwords, asks for tokens."""

    def __init__(self, vault: Vault, tokens: TokenSource) -> None:
        self._vault = vault
        self._tokens = tokens

    def secret(self, account: Account) -> str:
        """Raises SecretKeyError, MailboxSecretError, TokenRefusedError, ProviderDownError."""
        try:
            if account.auth.is_oauth:
                return self._tokens.token(account)
            return self._vault.unseal(account.secret, of_password(account))
        except SecretMovedError as error:
            word = "token_moved" if account.auth.is_oauth else "moved"
            raise MailboxSecretError(word, place=error.facts.get("place"), **facts_of(account)) from None

    def another(self, account: Account, refused: str, error: MailboxDeniedError) -> str:
        """A token that is new, where the server took no old one: its clock may be another's. Else raises the error."""
        if not account.auth.is_oauth:
            raise error
        fresh = self._tokens.token(account, refused=refused)
        if fresh == refused:
            raise error
        return fresh

    def expiry(self, account: Account) -> datetime | None:
        """Of a token that is kept."""
        return self._tokens.expiry(account)


class NoTokens:
    """For whoever has passwords only: keeps `ports.TokenSource`."""

    def token(self, account: Account, *, refused: str | None = None) -> str:
        """There is none."""
        del refused
        raise MailboxDeniedError("no_tokens", **facts_of(account))

    def expiry(self, account: Account) -> datetime | None:
        """Of none."""
        del account
        return None
