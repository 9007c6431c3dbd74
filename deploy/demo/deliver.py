"""Puts the demo's mails into its mailboxes, as a mail client does: IMAP over TLS, APPEND."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from deploy.demo.mails import DemoMail
from deploy.demo.prepare import mail_password
from deploy.demo.state import CannotRunError, State


@dataclass(frozen=True, slots=True)
class Delivered:
    """A mail in its mailbox: what the server calls it, and when it came."""

    mail: DemoMail
    uidvalidity: int
    uid: int
    at: datetime
    sha256: str


def make_folders(state: State, mails: list[DemoMail]) -> None:
    """So that they are there when an account names them. Raises CannotRunError."""
    for user in _users(mails):
        with _mailbox(state, user) as client:
            for folder in {mail.folder for mail in mails if mail.user == user}:
                if not client.folder_exists(folder):
                    client.create_folder(folder)


def deliver(state: State, mails: list[DemoMail]) -> list[Delivered]:
    """Put all of them in place. Raises CannotRunError."""
    delivered = []
    for user in _users(mails):
        with _mailbox(state, user) as client:
            delivered += [_append(client, mail) for mail in mails if mail.user == user]
    return delivered


def _users(mails: list[DemoMail]) -> list[str]:
    return sorted({mail.user for mail in mails})


@contextmanager
def _mailbox(state: State, user: str) -> Iterator[IMAPClient]:
    trust = ssl.create_default_context(cafile=str(state.certificate))
    try:
        with IMAPClient("127.0.0.1", state.ports.imaps, ssl_context=trust, timeout=20) as client:
            client.login(user, mail_password(state))
            yield client
    except (IMAPClientError, OSError) as error:
        raise CannotRunError(f"Dovecot takes no mail: {error}. See {state.dovecot}/dovecot.log") from error


def _append(client: IMAPClient, mail: DemoMail) -> Delivered:
    answer: bytes = client.append(mail.folder, mail.raw)
    named = re.search(rb"APPENDUID (\d+) (\d+)", answer)
    if named is None:
        raise CannotRunError(f"Dovecot took a mail and did not name it: {answer!r}")
    return Delivered(
        mail=mail,
        uidvalidity=int(named[1]),
        uid=int(named[2]),
        at=datetime.now(UTC),
        sha256=hashlib.sha256(mail.raw).hexdigest(),
    )
