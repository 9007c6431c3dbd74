"""What is known of the big mail providers: where their IMAP is, how many connections one login may have, how to log in.

Each entry's `help` is the provider's own page, and where its host, port and kind of password are from. Numbers of
connections: Google's help page "Too many simultaneous connections" (15 for each account); Microsoft's page on IMAP4
connection limits (MaxConnectionsPerUser, 16 by default); for the others the careful end of what is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from concord.model.account import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. Its first host is the one to begin with."""

    key: str  # gmail
    name: str
    hosts: tuple[str, ...] = ()
    port: int = 993
    tls: Tls = Tls.IMPLICIT
    connections: int | None = None  # at a time for each login; None: not known
    login_hint: str = ""  # what it takes as a password, in one clause
    oauth: str | None = None  # whose sign-in it takes: google, microsoft; None: passwords
    wants_oauth: bool = False  # it takes nothing else
    wants_id: bool = False  # a client must say its name after the login (RFC 2971)
    help: str = ""  # the provider's own page
    domains: Mapping[str, str] = field(default_factory=dict)  # of mail addresses, each with its host
    exchangers: Mapping[str, str] = field(
        default_factory=dict
    )  # ends of MX names, each with the host of such customers


def _all(host: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, host)


PROVIDERS: Final = (
    Provider(
        key="gmail",
        name="Gmail",
        hosts=("imap.gmail.com", "imap.googlemail.com"),
        connections=15,
        login_hint="Gmail wants an app password, made under Google Account > Security > 2-Step Verification",
        oauth="google",
        help="https://support.google.com/mail/answer/7126229",
        domains=_all("imap.gmail.com", "gmail.com", "googlemail.com"),
        exchangers=_all("imap.gmail.com", "google.com", "googlemail.com"),
    ),
    Provider(
        key="microsoft",
        name="Microsoft 365",
        hosts=("outlook.office365.com", "imap-mail.outlook.com"),
        connections=16,
        login_hint="Microsoft 365 takes no passwords over IMAP any more, only OAuth2",
        oauth="microsoft",
        wants_oauth=True,
        help="https://support.microsoft.com/office/d088b986-291d-42b8-9564-9c414e2aa040",
        domains=_all("outlook.office365.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "outlook.de"),
        exchangers=_all("outlook.office365.com", "protection.outlook.com", "mx.microsoft"),
    ),
    Provider(
        key="yahoo",
        name="Yahoo",
        hosts=("imap.mail.yahoo.com",),
        connections=5,
        login_hint="Yahoo wants an app password, made under Account Security",
        help="https://help.yahoo.com/kb/SLN4075.html",
        domains=_all(
            "imap.mail.yahoo.com",
            *("yahoo.com", "ymail.com", "rocketmail.com", "myyahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr"),
            *("yahoo.it", "yahoo.es", "yahoo.ca", "yahoo.com.au", "yahoo.com.br", "yahoo.com.mx", "yahoo.co.in"),
            *("yahoo.in", "yahoo.com.hk", "yahoo.com.sg", "yahoo.com.tw"),
        ),
        exchangers=_all("imap.mail.yahoo.com", "am0.yahoodns.net"),
    ),
    Provider(
        key="icloud",
        name="iCloud",
        hosts=("imap.mail.me.com",),
        connections=5,
        login_hint="iCloud wants an app-specific password, made under Apple Account > Sign-In and Security",
        help="https://support.apple.com/102525",
        domains=_all("imap.mail.me.com", "icloud.com", "me.com", "mac.com"),
        exchangers=_all("imap.mail.me.com", "mail.icloud.com"),
    ),
    Provider(
        key="qq",
        name="QQ Mail",
        hosts=("imap.qq.com", "imap.exmail.qq.com"),
        login_hint="QQ Mail wants an authorisation code (授权码), made in its settings under Account",
        help="https://service.mail.qq.com/detail/0/75",
        domains=_all("imap.qq.com", "qq.com", "vip.qq.com", "foxmail.com"),
        exchangers=_all("imap.exmail.qq.com", "mxbiz1.qq.com", "mxbiz2.qq.com"),
    ),
    Provider(
        key="netease",
        name="NetEase 163",
        hosts=(
            "imap.163.com",
            "imap.126.com",
            "imap.yeah.net",
            "imap.vip.163.com",
            "imap.188.com",
            "imap.qiye.163.com",
        ),
        login_hint="NetEase wants an authorisation code (授权码), made in its settings under POP3/SMTP/IMAP",
        wants_id=True,
        help="https://help.mail.163.com/faq.do?m=list&categoryID=90",
        domains={
            "163.com": "imap.163.com",
            "126.com": "imap.126.com",
            "yeah.net": "imap.yeah.net",
            "vip.163.com": "imap.vip.163.com",
            "188.com": "imap.188.com",
        },
        exchangers=_all("imap.qiye.163.com", "qiye163mx01.mxmail.netease.com", "qiye163mx02.mxmail.netease.com"),
    ),
    Provider(
        key="aliyun",
        name="Aliyun",
        hosts=("imap.qiye.aliyun.com", "imap.aliyun.com", "imap.mxhichina.com"),
        login_hint="Aliyun wants a client security password (三方客户端安全密码), made in its settings under Account",
        help="https://help.aliyun.com/document_detail/36576.html",
        domains=_all("imap.aliyun.com", "aliyun.com"),
        exchangers=_all("imap.qiye.aliyun.com", "mxhichina.com", "qiye.aliyun.com"),
    ),
    Provider(
        key="fastmail",
        name="Fastmail",
        hosts=("imap.fastmail.com",),
        login_hint="Fastmail wants an app password with IMAP access",
        help="https://www.fastmail.help/hc/en-us/articles/1500000278342",
        domains=_all("imap.fastmail.com", "fastmail.com", "fastmail.fm", "messagingengine.com"),
        exchangers=_all("imap.fastmail.com", "messagingengine.com"),
    ),
)
# Any other server: nothing is known of it, and 993 with TLS is what most have.
GENERIC: Final = Provider(key="generic", name="Other IMAP server")
_BY_HOST: Final = {host: provider for provider in PROVIDERS for host in provider.hosts}
_BY_KEY: Final = {provider.key: provider for provider in (*PROVIDERS, GENERIC)}
_HOST_OF_DOMAIN: Final = {domain: host for provider in PROVIDERS for domain, host in provider.domains.items()}
_HOST_OF_EXCHANGER: Final = {end: host for provider in PROVIDERS for end, host in provider.exchangers.items()}


def provider_of(host: str) -> Provider:
    """The provider behind a host; GENERIC for any other."""
    return _BY_HOST.get(host.lower().rstrip("."), GENERIC)


def provider_named(key: str) -> Provider | None:
    """By its key; None where there is none."""
    return _BY_KEY.get(key)


def host_of_domain(domain: str) -> str | None:
    """The IMAP host of mail addresses in a domain that is a provider's own."""
    return _HOST_OF_DOMAIN.get(domain.lower().rstrip("."))


def host_of_exchanger(exchanger: str) -> str | None:
    """The IMAP host of domains whose mail a provider's exchanger takes; the longest known end decides."""
    labels = exchanger.lower().rstrip(".").split(".")
    ends = (".".join(labels[start:]) for start in range(len(labels)))
    return next((host for host in map(_HOST_OF_EXCHANGER.get, ends) if host), None)
