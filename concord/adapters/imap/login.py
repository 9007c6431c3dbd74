"""Logging in. Nothing that comes out of here, the exceptions' own past included, holds the password or the token."""

from __future__ import annotations

import base64
import imaplib
from collections.abc import Callable, Iterator
from typing import Final

from concord.adapters.imap import bearer
from concord.adapters.imap.errors import RAISED, facts_of, is_refusal, login_refused, lost
from concord.adapters.imap.wire import Client
from concord.errors import MailboxDeniedError, MailboxError
from concord.model.account import Account

_CONTROL: Final = frozenset({*range(32), 127})


def log_in(account: Account, client: Client, secret: str) -> None:
    """With a password: LOGIN, or AUTHENTICATE PLAIN where the words are not ASCII (RFC 3501 6.2.2, 6.2.3; RFC 4616).

    With a token: AUTHENTICATE OAUTHBEARER, or XOAUTH2 where that is all the server has.
    """
    tried = _bearing if account.auth.is_oauth else _tried
    failure = tried(account, client, secret)
    if failure:
        # Raised out here: inside the handler it would carry imaplib's own exception, which may quote the password.
        raise failure


def _tried(account: Account, client: Client, password: str) -> MailboxError | None:
    if any(ord(letter) in _CONTROL for letter in account.user + password):
        return MailboxDeniedError("unsendable", **facts_of(account))
    plain = f"\0{account.user}\0{password}".encode()

    def ask() -> None:
        if (account.user + password).isascii():
            client.wire.login(_quoted(account.user), password)
        else:
            client.wire.authenticate("PLAIN", lambda _: plain)

    return _answered(account, ask, hide=tuple(_guises(password, plain)))


def _answered(account: Account, ask: Callable[[], None], *, hide: tuple[str, ...]) -> MailboxError | None:
    facts = facts_of(account)
    try:
        ask()
    except RAISED as error:
        if _is_no(error):
            return login_refused(error, facts, hide=hide)
        return lost(error, facts, hide=hide)
    return None


def _bearing(account: Account, client: Client, token: str) -> MailboxError | None:
    mechanism = bearer.chosen(client.wire.capabilities)
    if mechanism is None:
        return bearer.not_offered(account)
    exchange = bearer.Exchange(mechanism=mechanism, account=account, token=token)
    hide = tuple(_guises(token, exchange.initial))
    failure = _answered(account, lambda: _authenticate(client, exchange), hide=hide)
    if type(failure) is MailboxDeniedError:
        return bearer.denied(account, failure, exchange)
    return failure


def _authenticate(client: Client, exchange: bearer.Exchange) -> None:
    client.wire.authenticate(exchange.mechanism, exchange.respond)


def _is_no(error: Exception) -> bool:
    """Whether the server answered the login itself: imaplib's login raises the bare text of a NO."""
    if not isinstance(error, imaplib.IMAP4.error) or isinstance(error, imaplib.IMAP4.abort):
        return False
    return is_refusal(error) or not str(error).startswith("command:")


def _guises(password: str, plain: bytes) -> Iterator[str]:
    """The ways a server, and imaplib after it, may write the password."""
    for text in (password, _quoted(password), _quoted(password)[1:-1], base64.b64encode(plain).decode("ascii")):
        yield text
        yield repr(text.encode())[2:-1]  # imaplib shows octets as Python does
    yield base64.b64encode(password.encode()).decode("ascii")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
