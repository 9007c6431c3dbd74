"""Puts the demo's mails into its mailboxes, as a mail client does: IMAP over TLS, APPEND."""

from __future__ import annotations

import hashlib
import re
import ssl
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


def deliver(state: State, mails: list[DemoMail]) -> list[Delivered]:
    """Put all of them in place; a missing folder is made. Raises CannotRunError."""
    delivered = []
    try:
        for user in sorted({mail.user for mail in mails}):
            with _mailbox(state, user) as client:
                delivered += [_append(client, mail) for mail in mails if mail.user == user]
    except (IMAPClientError, OSError) as error:
        raise CannotRunError(f"Dovecot takes no mail: {error}. See {state.dovecot}/dovecot.log") from error
    return delivered


def _mailbox(state: State, user: str) -> IMAPClient:
    trust = ssl.create_default_context(cafile=str(state.certificate))
    client = IMAPClient("localhost", state.ports.imaps, ssl_context=trust, timeout=20)
    client.login(user, mail_password(state))
    return client


def _append(client: IMAPClient, mail: DemoMail) -> Delivered:
    if not client.folder_exists(mail.folder):
        client.create_folder(mail.folder)
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
