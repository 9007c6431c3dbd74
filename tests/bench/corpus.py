"""The mails that speed is measured on: the same seed gives the same bytes.

The mix: 55 % plain of about 4 KB, 33 % text and HTML of about 30 KB, 11.6 % with an attachment of about 200 KB, 0.4 %
with one of about 5 MB; UTF-8, GBK, ISO-2022-JP and ISO-8859-1 text.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from email.header import Header
from typing import Final

WORDS: Final = {
    "utf-8": [
        "Déjà",
        "vu",
        "заказ",
        "подтверждён",
        "счёт",
        "invoice",
        "order",
        "delivery",
        "meeting",
        "订单",
        "€100",
        "Straße",
    ],
    "gbk": [
        "订单",
        "确认",
        "发票",
        "付款",
        "您好",
        "请",
        "查收",
        "附件",
        "会议",
        "通知",
        "客户",
        "服务",
        "谢谢",
        "order",
        "2026",
    ],
    "iso-2022-jp": ["注文", "確認", "請求書", "支払い", "添付", "会議", "通知", "システム", "サービス", "order"],
    "iso-8859-1": ["Déjà", "vu", "façade", "garçon", "señor", "über", "Straße", "order", "invoice", "delivery"],
}
CHARSETS: Final = ["utf-8"] * 10 + ["gbk"] * 4 + ["iso-2022-jp"] * 3 + ["iso-8859-1"] * 3


def mails(count: int, seed: int) -> Iterator[bytes]:
    """So many mails with CRLF line ends."""
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - reproducible, not secret
        yield _mail(chance, number).replace(b"\n", b"\r\n")


def _mail(chance: random.Random, number: int) -> bytes:
    charset = chance.choice(CHARSETS)
    kind = chance.random()
    head = _head(chance, charset, number)
    if kind < 0.55:
        return head + _part("text/plain", charset, _text(chance, charset, 2200))
    boundary = f"=_{chance.getrandbits(128):032x}"
    if kind < 0.88:
        page = f"<html><body>{_text(chance, charset, 19_000)}</body></html>"
        parts = [
            _part("text/plain", charset, _text(chance, charset, 3000)),
            _part("text/html", charset, page),
        ]
        return head + _multipart("alternative", boundary, parts)
    size = chance.randrange(100_000, 300_000) if kind < 0.996 else 5_000_000
    parts = [_part("text/plain", charset, _text(chance, charset, 2200)), _attachment(chance, size)]
    return head + _multipart("mixed", boundary, parts)


def _head(chance: random.Random, charset: str, number: int) -> bytes:
    subject = Header(_text(chance, charset, 40).strip(), charset, header_name="Subject").encode()
    sender = Header(chance.choice(WORDS[charset]), charset).encode()
    received = "".join(
        f"Received: from mx{hop}.example.com (mx{hop}.example.com [192.0.2.{chance.randrange(255)}])\n"
        f"\tby mail{hop}.example.net with ESMTPS id {chance.getrandbits(40):X};\n"
        f"\tMon, 02 Nov 2026 10:00:0{hop} +0800\n"
        for hop in range(4)
    )
    return (
        f"{received}Date: Mon, 02 Nov 2026 10:{chance.randrange(60):02}:00 +0800\n"
        f"From: {sender} <sender{chance.randrange(500)}@example.com>\nTo: user@example.net\n"
        f"Message-ID: <{chance.getrandbits(128):032x}.{number}@example.com>\nSubject: {subject}\nMIME-Version: 1.0\n"
    ).encode("ascii")


def _text(chance: random.Random, charset: str, octets: int) -> str:
    words: list[str] = []
    size = 0
    while size < octets:
        word = chance.choice(WORDS[charset])
        size += len(word.encode(charset)) + 1
        words.append(word)
    lines = (" ".join(words[start : start + 9]) for start in range(0, len(words), 9))
    return "\n".join(lines) + "\n"


def _part(kind: str, charset: str, text: str) -> bytes:
    encoded = base64.encodebytes(text.encode(charset))
    head = f"Content-Type: {kind}; charset={charset}\nContent-Transfer-Encoding: base64\n\n"
    return head.encode("ascii") + encoded


def _attachment(chance: random.Random, size: int) -> bytes:
    head = (
        'Content-Type: application/pdf; name="report.pdf"\n'
        'Content-Disposition: attachment; filename="report.pdf"\nContent-Transfer-Encoding: base64\n\n'
    )
    return head.encode("ascii") + base64.encodebytes(chance.randbytes(int(size * 0.73)))


def _multipart(kind: str, boundary: str, parts: list[bytes]) -> bytes:
    mark = f"--{boundary}\n".encode("ascii")
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'.encode("ascii")
    return head + b"".join(mark + part + b"\n" for part in parts) + f"--{boundary}--\n".encode("ascii")
