"""The border: what imaplib, ssl and sockets raise goes in, Concord's mailbox errors come out, without the password."""

from __future__ import annotations

import imaplib
import ssl
from dataclasses import replace
from typing import Any, Final

from concord.adapters.imap.answers import Answer
from concord.errors import (
    MailboxDeniedError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxProtocolError,
    MailboxQuotaError,
    MailboxServerError,
    MailboxThrottledError,
    MailboxTlsError,
)
from concord.model.account import Account
from concord.model.provider import provider_of

# imapclient's parsers raise all but the first two when an answer is cut short or is not what they expect.
RAISED: Final = (
    imaplib.IMAP4.error,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)

# OpenSSL's X509_V_ERR_… numbers.
_CODES: Final = {
    "expired": frozenset({10}),
    "early": frozenset({9}),
    "name": frozenset({62, 64}),
    "unknown": frozenset({2, 18, 19, 20, 21}),
}
# Separates a session that the server ends from one that breaks.
GOODBYE: Final = "* BYE "
_SENTENCES: Final = {
    "expired": "the certificate has expired",
    "early": "the certificate is not valid yet",
    "name": "the certificate is for another name",
    "unknown": "the certificate is from an unknown authority",
    "plain": "what answers on this port does not speak TLS",
    "cut": "the connection was cut during the handshake",
}
_REMEDIES: Final = {
    "expired": "Renew the certificate on the server",
    "early": "Check this machine's clock",
    "name": "Use the host name that the certificate is for",
    "unknown": "Give the authority's file as the account's CA file (--ca-file)",
    "plain": "Try STARTTLS (--tls starttls, port 143), or the port the provider names for IMAP over TLS (993)",
    "cut": "Check that the port is one for TLS; 'starttls' is for port 143",
}

_UNSAFE_LOGIN: Final = (
    "Sign in to NetEase's webmail, allow IMAP and third-party clients there, and give the authorization code as the "
    "mailbox's password"
)


def facts_of(account: Account) -> dict[str, Any]:
    """What every mailbox error says."""
    return {"account": account.name, "host": account.host, "port": account.port}


def is_refusal(error: BaseException) -> bool:
    """Whether the server said no to one command and the session goes on."""
    return isinstance(error, imaplib.IMAP4.readonly) or (
        isinstance(error, imaplib.IMAP4.error)
        and not isinstance(error, imaplib.IMAP4.abort)
        # imapclient's ProtocolError, and what imaplib says of an overlong line, are an `error` as well.
        and any(word in str(error) for word in (" failed: ", " command error: "))
    )


def lost(error: Exception, facts: dict[str, Any], *, hide: tuple[str, ...] = ()) -> MailboxError:
    """Name what ended a session: no answer, a cut, a goodbye, or something that is not IMAP."""
    if isinstance(error, TimeoutError):
        return MailboxDownError("The IMAP server did not answer in time", **facts)
    if isinstance(error, OSError):
        cause = getattr(error, "reason", None) or error.strerror or str(error)
        return MailboxDownError("The connection to the IMAP server was cut", cause=cause, **facts)
    answer = Answer.read(error, hide=hide)
    _, said_goodbye, words = answer.text.partition(GOODBYE)
    answer = replace(answer, text=words) if said_goodbye else answer
    if answer.is_throttling:
        return throttled(answer, facts)
    # imaplib has but one class for three things, and tells them apart in words.
    odd = "unexpected" in answer.text or "unterminated" in answer.text
    if said_goodbye or (isinstance(error, imaplib.IMAP4.abort) and not odd):
        if "socket error" in answer.text and not said_goodbye:
            return MailboxDownError("The IMAP server hung up", **facts)
        return MailboxDownError("The IMAP server ended the session", answer=answer.text, **facts)
    return MailboxProtocolError("The IMAP server answered something that is not IMAP", answer=answer.text, **facts)


def refused(error: object, facts: dict[str, Any], *, names_folder: bool) -> MailboxError:
    """Name why one command was refused. Only a command that `names_folder` can be refused because of the folder."""
    answer = Answer.read(error)
    if answer.is_unsafe_login:
        return MailboxDeniedError(
            "The IMAP server opens no folder to this login", answer=answer.text, remedy=_UNSAFE_LOGIN, **facts
        )
    if answer.is_throttling:
        return throttled(answer, facts)
    if answer.is_logged_out:
        return MailboxDownError("The IMAP server ended the session", answer=answer.text, **facts)
    if answer.is_quota:
        return MailboxQuotaError("The mailbox is over its quota", answer=answer.text, **facts)
    if names_folder and (answer.is_about_folder or isinstance(error, imaplib.IMAP4.readonly)):
        return MailboxFolderError("A folder cannot be used on the IMAP server", answer=answer.text, **facts)
    return MailboxServerError("The IMAP server refused a command", answer=answer.text, **facts)


def login_refused(error: object, facts: dict[str, Any], *, hide: tuple[str, ...]) -> MailboxError:
    """Name why a login was refused: only a real denial is one."""
    answer = Answer.read(error, hide=hide)
    if answer.wants_tls:
        return plaintext_refused(facts)
    if answer.is_throttling:
        return throttled(answer, facts)
    if answer.is_fault:
        return MailboxServerError("The IMAP server could not carry out the login", answer=answer.text, **facts)
    hint = provider_of(facts["host"]).login_hint
    remedy = f"{hint}; then: concord account edit {facts['account']} --password-stdin" if hint else None
    return MailboxDeniedError("The IMAP server refused the login", answer=answer.text, remedy=remedy, **facts)


def plaintext_refused(facts: dict[str, Any]) -> MailboxTlsError:
    """Say that the password would have gone over the wire in clear."""
    return MailboxTlsError(
        "The IMAP server takes no passwords without TLS",
        remedy="Set the account to STARTTLS (--tls starttls), or to implicit TLS with port 993",
        **facts,
    )


def throttled(answer: Answer, facts: dict[str, Any]) -> MailboxThrottledError:
    """Say how long to stay away, where the server does."""
    remedy = None
    if "authenticated but not connected" in answer.text.lower():
        remedy = (
            "The login is right, but Microsoft gives no mailbox for it: it is throttled, or has no licence, "
            "or IMAP is switched off for it; Concord keeps trying"
        )
    return MailboxThrottledError(
        "The IMAP server asks us to come back later",
        answer=answer.text,
        retry_after=answer.retry_after,
        remedy=remedy,
        **facts,
    )


def untrusted(error: OSError, facts: dict[str, Any]) -> MailboxError:
    """Name what is wrong with a TLS handshake, and what to do about just that."""
    if isinstance(error, TimeoutError):
        return lost(error, facts)
    cause, remedy = _handshake(error)
    return MailboxTlsError(
        "No trusted TLS connection to the IMAP server could be made", cause=cause, remedy=remedy, **facts
    )


def _handshake(error: OSError) -> tuple[str, str | None]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return _SENTENCES["plain"], _REMEDIES["plain"]
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " "), None
    return _SENTENCES["cut"], _REMEDIES["cut"]


def _certificate(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    why = next((why for why, codes in _CODES.items() if error.verify_code in codes), None)
    return (_SENTENCES[why], _REMEDIES[why]) if why else (error.verify_message, MailboxTlsError.remedy)
