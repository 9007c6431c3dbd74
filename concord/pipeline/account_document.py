"""Accounts as people write them: one form for `concord apply`, for imports and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from concord.errors import UsageError, did_you_mean
from concord.model.account import Account, AfterAction, Priority, StartPoint, Tls

PORTS: Final[Mapping[Tls, int]] = {Tls.IMPLICIT: 993, Tls.STARTTLS: 143, Tls.NONE: 143}
_REMEDIES: Final = {"tls": "Write 'implicit' (port 993), 'starttls' (port 143) or 'none'"}
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")

Reader = Callable[[object], Any]
Word = TypeVar("Word", bound=StrEnum)


def account_from_document(document: Mapping[str, Any], *, base: Account | None = None) -> Account:
    """Read the written form; what is not said is as in `base`, or at its default. Raises UsageError."""
    values = _read(document)
    given = base or Account(
        name=_required(values, "name"), host=_required(values, "host"), user=_required(values, "user")
    )
    account = replace(given, **values)
    # The port follows the kind of connection, unless it is said or was chosen before.
    if "port" not in values and (base is None or ("tls" in values and base.port == PORTS[base.tls])):
        account = replace(account, port=PORTS[account.tls])
    return account


def account_to_document(account: Account) -> dict[str, Any]:
    """The written form, every key; passwords are never in it."""
    return {
        "name": account.name,
        "host": account.host,
        "port": account.port,
        "tls": account.tls.value,
        "user": account.user,
        "ca_file": account.ca_file,
        "folders": list(account.folders),
        "start": str(account.start),
        "after": str(account.after),
        "interval": account.interval,
        "priority": account.priority.value,
        "enabled": account.enabled,
    }


def _read(document: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for key, written in document.items():
        reader = _READERS.get(key)
        if reader is None:
            raise UsageError(
                "An account has a key that does not exist",
                account=document.get("name"),
                key=key,
                remedy=did_you_mean(key, _READERS) or f"The keys are {', '.join(_READERS)}",
            )
        try:
            values[key] = reader(written)
        except ValueError as error:
            raise UsageError(
                "An account's value cannot be used",
                account=document.get("name"),
                key=key,
                value=written,
                cause=error,
                remedy=_REMEDIES.get(key, f"Correct '{key}'"),
            ) from None
    return values


def _required(values: Mapping[str, Any], key: str) -> str:
    if not values.get(key):
        raise UsageError(
            f"An account has no {key}", account=values.get("name"), remedy=f"Say its {key}, which has no default"
        )
    return str(values[key])


def _text(written: object) -> str:
    if not isinstance(written, str):
        raise ValueError("it is text")  # noqa: TRY004 - one kind of refusal; the caller adds account and key
    return written.strip()


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
    return tuple(name.strip() for name in names)


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
    "ca_file": _perhaps(_text),
    "folders": _folders,
    "start": lambda written: StartPoint.parse(_text(written)),
    "after": lambda written: AfterAction.parse(_text(written)),
    "interval": _perhaps(_whole),
    "priority": _word(Priority),
    "enabled": _truth,
}
