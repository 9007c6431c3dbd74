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
_HANDSHAKES: Final = {
    "expired": "handshake.expired",
    "early": "handshake.early",
    "name": "handshake.name",
    "unknown": "handshake.unknown",
    "plain": "handshake.plain",
    "cut": "handshake.cut",
}
# What a provider takes as a password, where it is not the one for its pages.
_LOGINS: Final = {
    "gmail": "login.gmail",
    "microsoft": "login.microsoft",
    "yahoo": "login.yahoo",
    "icloud": "login.icloud",
    "qq": "login.qq",
    "netease": "login.netease",
    "aliyun": "login.aliyun",
    "fastmail": "login.fastmail",
}


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
        return MailboxDownError("timeout", **facts)
    if isinstance(error, OSError):
        cause = getattr(error, "reason", None) or error.strerror or str(error)
        return MailboxDownError("cut", cause=cause, **facts)
    answer = Answer.read(error, hide=hide)
    _, said_goodbye, words = answer.text.partition(GOODBYE)
    answer = replace(answer, text=words) if said_goodbye else answer
    if answer.is_throttling:
        return throttled(answer, facts)
    # imaplib has but one class for three things, and tells them apart in words.
    odd = "unexpected" in answer.text or "unterminated" in answer.text
    if said_goodbye or (isinstance(error, imaplib.IMAP4.abort) and not odd):
        if "socket error" in answer.text and not said_goodbye:
            return MailboxDownError("hung_up", **facts)
        return MailboxDownError("goodbye", answer=answer.text, **facts)
    return MailboxProtocolError("no_imap", answer=answer.text, **facts)


def refused(error: object, facts: dict[str, Any], *, names_folder: bool) -> MailboxError:
    """Name why one command was refused. Only a command that `names_folder` can be refused because of the folder."""
    answer = Answer.read(error)
    if answer.is_unsafe_login:
        return MailboxDeniedError("unsafe_login", answer=answer.text, **facts)
    if answer.is_throttling:
        return throttled(answer, facts)
    if answer.is_logged_out:
        return MailboxDownError("goodbye", answer=answer.text, **facts)
    if answer.is_quota:
        return MailboxQuotaError(answer=answer.text, **facts)
    if names_folder and (answer.is_about_folder or isinstance(error, imaplib.IMAP4.readonly)):
        return MailboxFolderError("unusable", answer=answer.text, **facts)
    return MailboxServerError("command", answer=answer.text, **facts)


def login_refused(error: object, facts: dict[str, Any], *, hide: tuple[str, ...]) -> MailboxError:
    """Name why a login was refused: only a real denial is one."""
    answer = Answer.read(error, hide=hide)
    if answer.wants_tls:
        return plaintext_refused(facts)
    if answer.is_throttling:
        return throttled(answer, facts)
    if answer.is_fault:
        return MailboxServerError("login", answer=answer.text, **facts)
    detail = _LOGINS.get(provider_of(facts["host"]).key, "login")
    return MailboxDeniedError(detail, answer=answer.text, **facts)


def plaintext_refused(facts: dict[str, Any]) -> MailboxTlsError:
    """Say that the password would have gone over the wire in clear."""
    return MailboxTlsError("tls_required", **facts)


def throttled(answer: Answer, facts: dict[str, Any]) -> MailboxThrottledError:
    """Say how long to stay away, where the server does."""
    detail = "not_connected" if "authenticated but not connected" in answer.text.lower() else ""
    return MailboxThrottledError(detail, answer=answer.text, retry_after=answer.retry_after, **facts)


def untrusted(error: OSError, facts: dict[str, Any]) -> MailboxError:
    """Name what is wrong with a TLS handshake, and what to do about just that."""
    if isinstance(error, TimeoutError):
        return lost(error, facts)
    why = _handshake(error)
    cause = _SENTENCES.get(why) or _words(error)
    return MailboxTlsError(_HANDSHAKES.get(why, "handshake"), cause=cause, **facts)


def _handshake(error: OSError) -> str:
    """What went wrong, in one of our words; empty where only OpenSSL's own say it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return next((why for why, codes in _CODES.items() if error.verify_code in codes), "")
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "plain"
    return "" if isinstance(error, ssl.SSLError) else "cut"


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (getattr(error, "reason", None) or str(error)).lower().replace("_", " ")
