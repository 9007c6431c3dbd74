"""The form of a mailbox: what it shows of an account, and the account's written form made of what it brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from concord.errors import Mistake, UsageError
from concord.model.account import ALL_FOLDERS, INBOX, Account, AfterKind, AuthKind, StartKind, Tls, folder_name
from concord.web.error_text import in_words
from concord.web.forms import Posted

Given = dict[str, str]
"""What stands in the form's fields; a box that is not ticked is not there."""

# Choices of the field `authority`; empty: this machine's own.
NAMED: Final = "named:"  # and a name of the folder
PASTED: Final = "pasted"
KEPT: Final = "kept"  # the file that was named at a shell

BLANK: Final[Mapping[str, str]] = {
    "tls": Tls.IMPLICIT.value,
    "auth": AuthKind.PASSWORD.value,
    "folders": "INBOX",
    "start": StartKind.NEW.value,
    "after": AfterKind.LEAVE.value,
    "priority": "normal",
    "enabled": "1",
}


def given_of(account: Account) -> Given:
    """The form as it shows an account."""
    every = ALL_FOLDERS in account.folders
    named = [name for name in account.folders if name != ALL_FOLDERS]
    told = {
        "name": account.name,
        "host": account.host,
        "port": str(account.port),
        "tls": account.tls.value,
        "plain": "1" if account.tls is Tls.NONE else "",
        "user": account.user,
        "auth": account.auth.value,
        "oauth_client": account.oauth_client or "",
        "authority": PASTED if account.ca_pem else KEPT if account.ca_file else "",
        "ca_pem": account.ca_pem or "",
        "every_folder": "1" if every else "",
        "folders": "\n".join(named) or INBOX,
        "start": account.start.kind.value,
        "since": account.start.since.isoformat() if account.start.since else "",
        "after": account.after.kind.value,
        "after_folder": account.after.folder or "",
        "interval": str(account.interval or ""),
        "priority": account.priority.value,
        "enabled": "1" if account.enabled else "",
    }
    return {field: text for field, text in told.items() if text}


def given_by(form: Posted) -> Given:
    """The form as it was sent; never its password."""
    return {field: text for field, text in form.values().items() if field != "password"}


def said_by(given: Mapping[str, str], *, is_new: bool) -> dict[str, Any]:
    """The account's written form. A field that the form did not have says nothing."""
    said: dict[str, Any] = {key: given[key].strip() for key in ("host", "user", "tls") if key in given}
    if is_new:
        said["name"] = given.get("name", "")
    if given.get("port"):
        said["port"] = given["port"]
    if "auth" in given:
        said["auth"] = given["auth"]
        said["oauth_client"] = given.get("oauth_client") if given["auth"] != AuthKind.PASSWORD else None
    said |= _authority(given)
    said["folders"] = _folders(given)
    said["start"] = _with("start", StartKind.SINCE, given, "since")
    said["after"] = _with("after", AfterKind.MOVE, given, "after_folder")
    said["interval"] = given.get("interval") or None
    said["priority"] = given.get("priority", "normal")
    said["enabled"] = bool(given.get("enabled"))
    return said


def _authority(given: Mapping[str, str]) -> dict[str, Any]:
    """A path is no choice of the form; said all the same, it is refused."""
    chosen = given.get("authority", "")
    said: dict[str, Any] = {"ca_file": given["ca_file"]} if given.get("ca_file") else {}
    if chosen == PASTED:
        # Nothing at all would say "as it is".
        return said | {"ca_pem": given.get("ca_pem", "").strip() or "none"}
    if chosen == KEPT or "authority" not in given:
        return said
    return said | {"authority": chosen.removeprefix(NAMED) or None}


def plain_mistake(account: Account, *, confirmed: bool) -> Mistake | None:
    """A connection without TLS is made only where somebody says that it is meant."""
    if account.tls is not Tls.NONE or confirmed:
        return None
    error = UsageError("plain_text", account=account.name)
    return Mistake(("tls",), error)


def told(mistakes: Iterable[Mistake]) -> dict[str, str]:
    """What is wrong with each field, in the reader's words. Of several the first."""
    found: dict[str, str] = {}
    for mistake in mistakes:
        found.setdefault(str(mistake.path[0]), in_words(mistake.error))
    return found


def _folders(given: Mapping[str, str]) -> list[str]:
    """Beside every folder, only those that it leaves out need their names; INBOX is there from the start."""
    lines = [line.strip() for line in given.get("folders", "").splitlines()]
    if given.get("every_folder"):
        return [ALL_FOLDERS, *(line for line in lines if line and folder_name(line) != INBOX)]
    return [line for line in lines if line]


def _with(field: str, kind: str, given: Mapping[str, str], other: str) -> str:
    """`since:2026-01-31`, `move:Done`; another kind needs no more."""
    chosen = given.get(field, "")
    return f"{chosen}:{given.get(other, '').strip()}" if chosen == kind else chosen
