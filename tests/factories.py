"""Mails for tests: small, distinct, and exactly known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from itertools import count

from concord.model.account import Account
from concord.model.binding import of_handler, of_password
from concord.model.rule import HandlerSpec
from concord.ports import Vault

_numbers: Iterator[int] = count(1)


def mail(
    subject: str | None = None,
    *,
    body: str = "Hello.\n",
    sender: str = "alice@example.com",
    to: str = "bob@example.net",
    attachment: bytes | None = None,
    **headers: str,
) -> bytes:
    """A well-formed mail with CRLF line ends. Each call makes another one: its Message-ID is counted."""
    number = next(_numbers)
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject or f"Mail {number}"
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0800"
    message["Message-ID"] = f"<{number}@tests.example.com>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    if attachment is not None:
        message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="data.bin")
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def sealed_in(vault: Vault, account: Account, password: str) -> Account:
    """With the password sealed for its place."""
    return replace(account, secret=vault.seal(password, of_password(account)))


def sealed_for(vault: Vault, handler: HandlerSpec, secret: str) -> HandlerSpec:
    """A handler with its secret sealed for its place."""
    return replace(handler, secret=vault.seal(secret, of_handler(handler)))
