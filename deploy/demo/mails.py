"""A dozen mails as the world sends them: scripts, attachments, calendars, forwards, and one that keeps no rule.

Written octet by octet where the standard library would tidy them up. Every run makes fresh ones.
"""

from __future__ import annotations

import base64
import random
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

ALICE: Final = "alice"
BOB: Final = "bob"
INVOICES: Final = "发票"  # Alice's second folder, "invoices"
BIG: Final = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DemoMail:
    """One mail, and where it is put."""

    kind: str
    user: str
    folder: str
    raw: bytes = field(repr=False)


def mails(run: str) -> list[DemoMail]:
    """The dozen. `run` makes this run's mails differ from an earlier one's."""
    return [
        DemoMail("plain text", ALICE, "INBOX", _octets(_plain(run))),
        DemoMail("HTML with an inline picture", ALICE, "INBOX", _octets(_html(run))),
        DemoMail("GBK", BOB, "INBOX", _gbk(run)),
        DemoMail("ISO-2022-JP", BOB, "INBOX", _japanese(run)),
        DemoMail("PDF attachment", ALICE, "INBOX", _octets(_invoice(run))),
        DemoMail("forwarded message", BOB, "INBOX", _octets(_forward(run))),
        DemoMail("calendar invitation", ALICE, "INBOX", _octets(_invitation(run))),
        DemoMail("winmail.dat (TNEF)", BOB, "INBOX", _octets(_winmail(run))),
        DemoMail("broken headers", ALICE, "INBOX", _broken(run)),
        DemoMail("high priority", BOB, "INBOX", _octets(_urgent(run))),
        DemoMail("3 MB attachment", BOB, "INBOX", _octets(_big(run))),
        DemoMail("folder with a Chinese name", ALICE, INVOICES, _octets(_filed(run))),
    ]


def _message(run: str, number: int, sender: str, to: str, subject: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{run}.{number}@demo.example>"
    return mail


def _octets(mail: EmailMessage) -> bytes:
    return mail.as_bytes(policy=mail.policy.clone(linesep="\r\n", max_line_length=78))


def _plain(run: str) -> EmailMessage:
    mail = _message(run, 1, "Charlie <charlie@partner.example>", "alice@demo.example", "Lunch on Thursday?")
    mail.set_content("Twelve at the usual place?\n\nCharlie\n")
    return mail


def _html(run: str) -> EmailMessage:
    mail = _message(run, 2, "Shop <news@shop.example>", "alice@demo.example", "Our autumn catalogue")
    mail.set_content("See the HTML version.\n")
    mail.add_alternative('<h1>Autumn</h1><p>New <b>arrivals</b></p><img src="cid:leaf@shop.example">', subtype="html")
    parts = mail.get_payload()
    pixel = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
    parts[1].add_related(pixel, "image", "gif", cid="<leaf@shop.example>", filename="leaf.gif")  # type: ignore[union-attr, index]  # add_alternative made it a list
    return mail


def _gbk(run: str) -> bytes:
    subject = base64.b64encode("关于十二月会议的安排".encode("gbk")).decode()
    return _raw(
        f"From: =?GBK?B?{base64.b64encode('王小明'.encode('gbk')).decode()}?= <wang@partner.example>",
        "To: bob@demo.example",
        f"Subject: =?GBK?B?{subject}?=",
        f"Date: {format_datetime(datetime.now(UTC))}",
        f"Message-ID: <{run}.3@demo.example>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=gbk",
        "Content-Transfer-Encoding: 8bit",
        body="会议改到星期五下午三点。\r\n".encode("gbk"),
    )


def _japanese(run: str) -> bytes:
    subject = base64.b64encode("お見積りの件".encode("iso-2022-jp")).decode()
    return _raw(
        "From: tanaka@partner.example",
        "To: bob@demo.example",
        f"Subject: =?ISO-2022-JP?B?{subject}?=",
        f"Date: {format_datetime(datetime.now(UTC))}",
        f"Message-ID: <{run}.4@demo.example>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=iso-2022-jp",
        "Content-Transfer-Encoding: 7bit",
        body="よろしくお願いします。\r\n".encode("iso-2022-jp"),
    )


def _invoice(run: str) -> EmailMessage:
    mail = _message(run, 5, "Billing <billing@supplier.example>", "alice@demo.example", "Invoice 2026-1142")
    mail.set_content("Please find the invoice attached.\n")
    pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    mail.add_attachment(pdf, "application", "pdf", filename="Rechnung für November.pdf")
    return mail


def _forward(run: str) -> EmailMessage:
    inner = _message(run, 60, "dave@customer.example", "sales@demo.example", "Does it come in blue?")
    inner.set_content("Asking for a friend.\n")
    mail = _message(run, 6, "Sales <sales@demo.example>", "bob@demo.example", "Fwd: Does it come in blue?")
    mail.set_content("Can you answer this one?\n")
    mail.add_attachment(inner)
    return mail


def _invitation(run: str) -> EmailMessage:
    mail = _message(run, 7, "Erin <erin@partner.example>", "alice@demo.example", "Invitation: design review")
    mail.set_content("Design review, Monday 10:00 UTC.\n")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Concord//demo//EN",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        f"UID:{run}@demo.example",
        "DTSTAMP:20261101T090000Z",
        "DTSTART:20261207T100000Z",
        "DTEND:20261207T110000Z",
        "SUMMARY:Design review",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    mail.add_alternative("\r\n".join(lines), subtype="calendar", params={"method": "REQUEST"})
    return mail


def _winmail(run: str) -> EmailMessage:
    mail = _message(run, 8, "Frank <frank@legacy.example>", "bob@demo.example", "Minutes")
    mail.set_content("Sent from an old Outlook.\n")
    mail.add_attachment(_tnef(), "application", "ms-tnef", filename="winmail.dat")
    return mail


def _tnef() -> bytes:
    """The smallest honest TNEF: its signature, a key, and the version attribute with its checksum."""
    version = struct.pack("<I", 0x00010000)
    attribute = struct.pack("<BII", 1, 0x00089006, len(version)) + version + struct.pack("<H", sum(version))
    return struct.pack("<IH", 0x223E9F78, 1) + attribute


def _broken(run: str) -> bytes:
    """Raw 8-bit subject, impossible date, no Message-ID, a header without a colon, a multipart that never ends."""
    return _raw(
        "From: no-reply at nowhere",
        "To: undisclosed recipients",
        f"X-Run: {run}",
        "Date: Thirtieth of February, teatime",
        "this line is no header",
        'Content-Type: multipart/mixed; boundary="never closed',
        body=b"--never closed\r\nContent-Type: text/plain; charset=martian\r\n\r\nStill a mail.\r\n",
        eight_bit=b"Subject: Caf\xe9 \xb3\xc2\xbd\xf0\r\n",
    )


def _urgent(run: str) -> EmailMessage:
    mail = _message(run, 10, "Monitoring <alerts@demo.example>", "bob@demo.example", "Disk almost full on db-2")
    mail["X-Priority"] = "1 (Highest)"
    mail["Importance"] = "high"
    mail.set_content("97 % used.\n")
    return mail


def _big(run: str) -> EmailMessage:
    mail = _message(run, 11, "Grace <grace@partner.example>", "bob@demo.example", "The photographs")
    mail.set_content("As promised.\n")
    noise = random.Random(run).randbytes(BIG)  # noqa: S311 - a picture's bytes, not a secret
    mail.add_attachment(noise, "image", "jpeg", filename="harbour.jpg")
    return mail


def _filed(run: str) -> EmailMessage:
    mail = _message(run, 12, "财务部 <finance@demo.example>", "alice@demo.example", "十一月发票已归档")
    mail.set_content("请查收。\n")
    return mail


def _raw(*headers: str, body: bytes, eight_bit: bytes = b"") -> bytes:
    return "".join(f"{line}\r\n" for line in headers).encode("ascii") + eight_bit + b"\r\n" + body
