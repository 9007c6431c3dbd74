"""Refusing accounts that cannot work, before they are kept: each refusal names the input, the cause and the remedy."""

from __future__ import annotations

import ipaddress
import re
import ssl
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

from concord.errors import Mistake, SecretMovedError, UsageError
from concord.model.account import Account, AfterKind, AuthKind, Mailbox, Tls
from concord.model.binding import of_password
from concord.ports import Vault

LONGEST_NAME: Final = 100
MOST_PORT: Final = 65_535
LONGEST_PEM: Final = 65_536  # some thirty certificates
# As poll.interval: a second to a month.
SHORTEST_INTERVAL, LONGEST_INTERVAL = 1, 30 * 86_400
# RFC 1123 section 2.1, and the underscore that some sites use; of the whole name, 253 characters.
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_HOST: Final = 253
_SENTENCES: Final = {
    "url": "it is a URL",
    "brackets": "an IPv6 address stands here without brackets",
    "port": "it has a port in it",
    "letters": "a host name is letters, digits, dots and hyphens",
    "file": "it is no ordinary file",
    "pem": "it has no certificate in PEM form",
    "nameless": "a folder has no name",
    "twice": "a folder is named twice",
}
_HOSTS: Final = {"url": "host.url", "brackets": "host.brackets", "port": "host.port", "letters": "host.letters"}
_FOLDERS: Final = {"nameless": "folders.nameless", "twice": "folders.twice"}


def check_account(account: Account, *, today: date) -> None:
    """Raise UsageError for an account that cannot be meant. Reads its CA file, asks no server."""
    for mistake in account_mistakes(account, today=today):
        raise mistake.error


def account_mistakes(account: Account, *, today: date) -> Iterator[Mistake]:
    """All that is wrong with it, each with its place in the account's written form."""
    checks: tuple[tuple[str, Callable[[Account], None]], ...] = (
        ("name", _check_name),
        ("host", _check_host),
        ("port", _check_port),
        ("user", _check_user),
        ("oauth_client", _check_oauth_client),
        ("ca_file", _check_ca_file),
        ("ca_pem", _check_ca_pem),
        ("folders", _check_folders),
        ("after", _check_after),
        ("start", partial(_check_start, today=today)),
        ("interval", _check_interval),
    )
    for key, check in checks:
        try:
            check(account)
        except UsageError as error:
            yield Mistake((key,), error)


def check_secret(account: Account, password: str | None) -> None:
    """Raise UsageError where a new account lacks its password, or has one that it makes no use of."""
    if not account.auth.is_oauth:
        check_password(account.name, password or "")
    elif password:
        raise UsageError("password_with_oauth", account=account.name)


def check_password(account: str, password: str) -> None:
    """Raise UsageError for a password that no server could be told; it is never shown."""
    if not password:
        raise UsageError("password_empty", account=account)
    if any(sign in password for sign in "\r\n\0"):
        raise UsageError("password_lines", account=account)


def check_keeps_secret(before: Account, after: Account) -> None:
    """Raise UsageError where a change alone would send the kept password or token to another server or login.

    A server is its host and port, and what proves it: the kind of TLS and the authority. Permission to change a mailbox
    must not reveal what opens it. A password is one login's; an OAuth2 sign-in may open a shared mailbox's.
    """
    if of_password(before) == of_password(after) and (after.auth.is_oauth or before.user == after.user):
        return
    if after.auth.is_oauth:
        raise UsageError("token_elsewhere", account=before.name, host=before.host)
    raise UsageError("password_elsewhere", account=before.name, host=before.host)


def is_kept(vault: Vault, account: Account, password: str) -> bool:
    """Whether it is the password that is kept. One that was moved in the database is none. Raises SecretKeyError."""
    try:
        return bool(account.secret) and vault.unseal(account.secret, of_password(account)) == password
    except SecretMovedError:
        return False


def is_elsewhere(before: Account, after: Account) -> bool:
    """Whether a change of host or login may lead to another mailbox. Port and TLS are only ways to it."""
    return (_host(before), before.user) != (_host(after), after.user)


def begins_another(before: Account, after: Account, answer: Mailbox | None) -> bool:
    """Whether this change begins with another mailbox. Raises UsageError where only a person can tell."""
    if not is_elsewhere(before, after):
        return False
    if answer is None:
        raise UsageError(
            "mailbox_question",
            account=before.name,
            before=f"{before.user} on {before.host}",
            after=f"{after.user} on {after.host}",
        )
    return answer is Mailbox.ANOTHER


def _host(account: Account) -> str:
    return account.host.lower().rstrip(".")


def _check_name(account: Account) -> None:
    name = account.name
    fits = name.isprintable() and 0 < len(name) <= LONGEST_NAME and not name.startswith("-") and "/" not in name
    if not fits:
        raise UsageError(
            "account_name",
            account=name,
            cause="a name is 1 to 100 printable characters, without '/', not beginning with '-'",
        )


def _check_host(account: Account) -> None:
    host = account.host
    if "://" in host:
        raise _bad_host(account, "url")
    if _is_address(host.strip("[]")):
        if host.startswith("["):
            raise _bad_host(account, "brackets")
        return
    _, colon, port = host.rpartition(":")
    if colon and port.isdecimal():
        raise _bad_host(account, "port")
    if not _is_host_name(host):
        raise _bad_host(account, "letters")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_host_name(host: str) -> bool:
    try:
        ascii_form = host.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    labels = ascii_form.removesuffix(".").split(".")
    # Four numbers that are no address are a mistyped one, not a name.
    return (
        len(ascii_form) <= _LONGEST_HOST
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdecimal()
    )


def _bad_host(account: Account, why: str) -> UsageError:
    return UsageError(_HOSTS[why], account=account.name, host=account.host, cause=_SENTENCES[why])


def _check_port(account: Account) -> None:
    if not 1 <= account.port <= MOST_PORT:
        raise UsageError("port", account=account.name, port=account.port, cause="ports are 1 to 65535")


def _check_user(account: Account) -> None:
    if not account.user or not account.user.isprintable():
        raise UsageError(
            "mail_user",
            account=account.name,
            user=account.user,
            cause="a user name is not empty and has no control characters",
        )


def _check_oauth_client(account: Account) -> None:
    if account.auth is AuthKind.OAUTH2_APP and not account.oauth_client:
        raise UsageError("account_oauth_client", account=account.name)


def _check_ca_file(account: Account) -> None:
    if account.ca_file is None:
        return
    if account.tls is Tls.NONE:
        raise UsageError("ca_file_without_tls", account=account.name, ca_file=account.ca_file, cause="tls is none")
    try:
        # Devices and pipes are never read to their end.
        if not stat.S_ISREG(Path(account.ca_file).stat().st_mode):
            raise _bad_ca_file(account, _SENTENCES["file"])
        ssl.create_default_context(cafile=account.ca_file)
    except ssl.SSLError:
        raise _bad_ca_file(account, _SENTENCES["pem"]) from None
    except ValueError:  # a NUL
        raise _bad_ca_file(account, _SENTENCES["file"]) from None
    except OSError as error:
        raise _bad_ca_file(account, error.strerror or str(error)) from None


def _check_ca_pem(account: Account) -> None:
    """Raise UsageError, which never repeats the text: somebody may have pasted a key."""
    if account.ca_pem is None:
        return
    if account.ca_file is not None:
        raise UsageError("authority_twice", account=account.name)
    if account.tls is Tls.NONE:
        raise UsageError("ca_file_without_tls", account=account.name, cause="tls is none")
    if len(account.ca_pem) > LONGEST_PEM:
        raise UsageError("ca_pem", account=account.name, cause=f"it is longer than {LONGEST_PEM} characters")
    try:
        ssl.create_default_context(cadata=account.ca_pem)
    except (ssl.SSLError, ValueError, TypeError):  # the last where it is not ASCII
        raise UsageError("ca_pem", account=account.name, cause=_SENTENCES["pem"]) from None


def _bad_ca_file(account: Account, cause: str) -> UsageError:
    return UsageError("ca_file", account=account.name, ca_file=account.ca_file, cause=cause)


def _check_folders(account: Account) -> None:
    names = account.folders
    if not names or not all(names):
        raise _bad_folders(account, "nameless")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _bad_folders(account, "twice")


def _bad_folders(account: Account, why: str) -> UsageError:
    return UsageError(
        _FOLDERS[why],
        account=account.name,
        folders=", ".join(account.folders) or "none",
        cause=_SENTENCES[why],
    )


def _check_after(account: Account) -> None:
    if account.after.kind is AfterKind.MOVE and account.after.folder in account.folders:
        raise UsageError(
            "after_folder",
            account=account.name,
            after=account.after,
            cause="where mail is moved to is among the folders",
        )


def _check_start(account: Account, today: date) -> None:
    if account.start.since and account.start.since > today:
        raise UsageError("start_future", account=account.name, start=account.start)


def _check_interval(account: Account) -> None:
    interval = account.interval
    if interval is not None and not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
        raise UsageError("interval", account=account.name, interval=interval, cause="it is 1 to 2592000 seconds")
