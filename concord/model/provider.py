"""What is known of the big mail providers: how many connections one login may have, and what they take as a password.

Sources: Google's help page "Too many simultaneous connections" (15 for each account); Microsoft's page on IMAP4
connection limits (MaxConnectionsPerUser, 16 by default); for the others the careful end of what is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider, known by its IMAP hosts."""

    name: str
    hosts: tuple[str, ...]
    connections: int | None = None  # at a time for each login; None: not known
    login_hint: str = ""


PROVIDERS: Final = (
    Provider(
        name="Gmail",
        hosts=("imap.gmail.com", "imap.googlemail.com"),
        connections=15,
        login_hint="Gmail wants an app password, made under Google Account > Security > 2-Step Verification",
    ),
    Provider(
        name="Microsoft 365",
        hosts=("outlook.office365.com", "imap-mail.outlook.com"),
        connections=16,
        login_hint="Microsoft 365 takes no passwords over IMAP any more, only OAuth2",
    ),
    Provider(
        name="Yahoo",
        hosts=("imap.mail.yahoo.com",),
        connections=5,
        login_hint="Yahoo wants an app password, made under Account Security",
    ),
    Provider(
        name="iCloud",
        hosts=("imap.mail.me.com",),
        connections=5,
        login_hint="iCloud wants an app-specific password, made under Apple Account > Sign-In and Security",
    ),
    Provider(
        name="Fastmail", hosts=("imap.fastmail.com",), login_hint="Fastmail wants an app password with IMAP access"
    ),
    Provider(
        name="QQ Mail",
        hosts=("imap.qq.com", "imap.exmail.qq.com"),
        login_hint="QQ Mail wants an authorisation code (授权码), made in its settings under Account",
    ),
    Provider(
        name="NetEase",
        hosts=("imap.163.com", "imap.126.com", "imap.yeah.net"),
        login_hint="NetEase wants an authorisation code (授权码), made in its settings under POP3/SMTP/IMAP",
    ),
)
_BY_HOST: Final = {host: provider for provider in PROVIDERS for host in provider.hosts}
_UNKNOWN: Final = Provider(name="", hosts=())


def provider_of(host: str) -> Provider:
    """The provider behind a host; one that nothing is known of for any other."""
    return _BY_HOST.get(host.lower().rstrip("."), _UNKNOWN)
