"""Accounts as people write them: one form for `concord apply`, for imports and for the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from concord.errors import Mistake, UsageError, nearest
from concord.model.account import Account, AfterAction, AuthKind, Mailbox, Priority, StartPoint, Tls, one_inbox

PORTS: Final[Mapping[Tls, int]] = {Tls.IMPLICIT: 993, Tls.STARTTLS: 143, Tls.NONE: 143}
_UNUSABLE: Final = {"tls": "account_value.tls"}
_REQUIRED: Final[Mapping[str, str]] = {
    "name": "account_no_name",
    "host": "account_no_host",
    "user": "account_no_user",
}
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")

Reader = Callable[[object], Any]
Word = TypeVar("Word", bound=StrEnum)


def account_from_document(document: Mapping[str, Any], *, base: Account | None = None) -> Account:
    """Read the written form; what is not said is as in `base`, or at its default. Raises UsageError."""
    account, mistakes = read_account(document, base=base)
    for mistake in mistakes:
        raise mistake.error
    return account


def read_account(document: Mapping[str, Any], *, base: Account | None = None) -> tuple[Account, list[Mistake]]:
    """Whatever can be read of the written form, and what cannot: a form shows all mistakes at once."""
    values, mistakes = _read(document)
    unread = {mistake.path[0] for mistake in mistakes}
    if base is None:
        mistakes += [_missing(key, values) for key in _REQUIRED if not values.get(key) and key not in unread]
    account = replace(base or Account(name="", host="", user=""), **_one_authority(values))
    # The port follows the kind of connection, unless it is said or was chosen before.
    if "port" not in values and (base is None or ("tls" in values and base.port == PORTS[base.tls])):
        account = replace(account, port=PORTS[account.tls])
    return account, mistakes


def _one_authority(values: dict[str, Any]) -> dict[str, Any]:
    """A file takes the place of pasted certificates, and the other way round; so does none of either."""
    if "ca_file" in values and "ca_pem" not in values:
        return values | {"ca_pem": None}
    return values | {"ca_file": None} if values.get("ca_pem") and "ca_file" not in values else values


def take_mailbox(document: Mapping[str, Any]) -> tuple[dict[str, Any], Mailbox | None]:
    """The document without `mailbox`, and what that says of a changed host or user. Raises UsageError."""
    rest = {key: value for key, value in document.items() if key != "mailbox"}
    answer = document.get("mailbox") or None
    if answer is not None and answer not in list(Mailbox):
        raise UsageError(
            "account_value",
            account=document.get("name"),
            key="mailbox",
            value=answer,
            cause=f"it is one of {', '.join(Mailbox)}",
        )
    return rest, None if answer is None else Mailbox(answer)


def account_to_document(account: Account) -> dict[str, Any]:
    """The written form, every key; passwords are never in it."""
    return {
        "name": account.name,
        "host": account.host,
        "port": account.port,
        "tls": account.tls.value,
        "user": account.user,
        "auth": account.auth.value,
        "oauth_client": account.oauth_client,
        "ca_file": account.ca_file,
        "ca_pem": account.ca_pem,
        "folders": list(account.folders),
        "start": str(account.start),
        "after": str(account.after),
        "interval": account.interval,
        "priority": account.priority.value,
        "enabled": account.enabled,
    }


def _read(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    values, mistakes = {}, []
    for key, written in document.items():
        try:
            values[key] = _value(key, written, document.get("name"))
        except UsageError as error:
            mistakes.append(Mistake((key,), error))
    return values, mistakes


def _value(key: str, written: object, account: object) -> Any:
    reader = _READERS.get(key)
    if reader is None:
        raise UsageError(
            "account_key", account=account, key=key, near=nearest(key, _READERS), known=", ".join(_READERS)
        )
    try:
        return reader(written)
    except ValueError as error:
        raise UsageError(
            _UNUSABLE.get(key, "account_value"),
            account=account,
            key=key,
            value=written,
            cause=error,
        ) from None


def _missing(key: str, values: Mapping[str, Any]) -> Mistake:
    error = UsageError(_REQUIRED[key], account=values.get("name"))
    return Mistake((key,), error)


def _text(written: object) -> str:
    if not isinstance(written, str):
        raise ValueError("it is text")  # noqa: TRY004 - one kind of refusal; the caller adds account and key
    return written.strip()


def _certificates(written: object) -> str:
    """The certificates alone: notes between them, and a key that was pasted along, are not kept."""
    text = _text(written)
    return "\n".join(_CERTIFICATE.findall(text)) or text


def _whole(written: object) -> int:
    if isinstance(written, str) and written.strip().isdecimal():
        return int(written)
    if not isinstance(written, int) or isinstance(written, bool):
        raise ValueError("it is a whole number")  # noqa: TRY004 - as above
    return written


def _truth(written: object) -> bool:
    if isinstance(written, bool):
        return written
    word = str(written).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError("it is true or false")
    return word in _TRUE


def _folders(written: object) -> tuple[str, ...]:
    names = [written] if isinstance(written, str) else written
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("it is a folder's name, or a list of them")
    return one_inbox(name.strip() for name in names)


def _word(kind: type[Word]) -> Callable[[object], Word]:
    def read(written: object) -> Word:
        if written not in list(kind):
            raise ValueError(f"it is one of {', '.join(kind)}")
        return kind(str(written))

    return read


def _perhaps(reader: Reader) -> Reader:
    """An empty value, as in a CSV cell, is none."""
    return lambda written: None if written is None or written == "" else reader(written)


_READERS: Final[dict[str, Reader]] = {
    "name": _text,
    "host": _text,
    "port": _whole,
    "tls": _word(Tls),
    "user": _text,
    "auth": _word(AuthKind),
    "oauth_client": _perhaps(_text),
    "ca_file": _perhaps(_text),
    "ca_pem": _perhaps(_certificates),
    "folders": _folders,
    "start": lambda written: StartPoint.parse(_text(written)),
    "after": lambda written: AfterAction.parse(_text(written)),
    "interval": _perhaps(_whole),
    "priority": _word(Priority),
    "enabled": _truth,
}
