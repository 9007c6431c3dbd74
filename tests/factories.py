"""Mails for tests: small, distinct, and exactly known."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from itertools import count

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
