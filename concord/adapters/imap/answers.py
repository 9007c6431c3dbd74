"""Reading a server's refusals: the response code (RFC 5530), the words providers use, the back-off they ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_CODE: Final = re.compile(r"\[([A-Z][A-Z0-9-]{3,})[\] ]")
_BYTES: Final = re.compile(r"^\[?b(['\"])(.*)\1\]?$", re.DOTALL)
# Microsoft: "Request is throttled. Suggested Backoff Time: 299961 milliseconds".
_BACKOFF: Final = re.compile(r"backoff time:?\s*(\d+)", re.IGNORECASE)
_LONGEST: Final = 300
# Upper bound of the back-off that a server may ask for. Microsoft's longest reported back-off is an hour.
LONGEST_BACKOFF: Final = 6 * 3600

_DENIED: Final = frozenset({"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "CONTACTADMIN", "WEBALERT"})
# A login that the server no longer accepts in the middle of a session.
_LOGGED_OUT: Final = frozenset({"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED"})
# The server blames itself, or Concord, but never the folder or the password (RFC 5530).
_FAULTS: Final = frozenset({"SERVERBUG", "CORRUPTION", "CLIENTBUG"})
# Codes that, on a command that names a folder, are about this folder. ALERT only asks to be shown to a person.
_FOLDER: Final = frozenset({"", "NONEXISTENT", "NOPERM", "TRYCREATE", "CANNOT", "ALREADYEXISTS", "READ-ONLY", "ALERT"})
# QQ lists every reason it has in one sentence, the system's being busy among them.
_PASSWORD_WORDS: Final = ("password is incorrect", "password is wrong", "password error", "invalid credentials")
_THROTTLED: Final = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "THROTTLED", "OVERLOADED"})
# What a server says of a message as well as of an account.
_AMBIGUOUS: Final = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA"})
_MILD_WORDS: Final = ("try again later", "temporary", "temporarily")
_STRONG_WORDS: Final = (
    "too many",
    "throttled",
    "backoff time",
    "rate limit",
    "bandwidth limit",
    "connection limit",
    "maximum number of connections",
    "simultaneous connections",
    "server unavailable",
    "system error",
    "system busy",
    "system is busy",
    "server is busy",
    "server busy",
    "frequency limit",
    # Microsoft says this when the login was right and the mailbox server is not to be had.
    "authenticated but not connected",
)
_WORDS: Final = (*_MILD_WORDS, *_STRONG_WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said, fit to be shown."""

    code: str
    text: str

    @classmethod
    def read(cls, said: object, *, hide: tuple[str, ...] = ()) -> Self:
        """Read an exception, bytes or text; whatever is to be hidden is blotted out, however the server wrote it."""
        text = _plain(said.args[0] if isinstance(said, Exception) and said.args else said)
        for secret in sorted(filter(None, hide), key=len, reverse=True):
            text = text.replace(secret, "[hidden]")
        text = "".join(letter if letter.isprintable() else " " for letter in text).strip()
        found = _CODE.search(text)
        return cls(code=found[1] if found else "", text=text[:_LONGEST])

    @property
    def is_denial(self) -> bool:
        return self.code in _DENIED or any(word in self.text.lower() for word in _PASSWORD_WORDS)

    @property
    def is_logged_out(self) -> bool:
        """Whether the session's login is no longer good: a new login tells more."""
        return self.code in _LOGGED_OUT

    @property
    def is_fault(self) -> bool:
        """Whether the server reports a fault of its own."""
        return self.code in _FAULTS

    @property
    def is_unsafe_login(self) -> bool:
        """NetEase opens no folder to a client or a login that it does not trust."""
        return "unsafe login" in self.text.lower()

    @property
    def is_about_folder(self) -> bool:
        """Whether a refused command that names a folder was refused because of this folder."""
        return self.code in _FOLDER and "command error" not in self.text

    @property
    def is_throttling(self) -> bool:
        return not self.is_denial and (self.code in _THROTTLED or any(word in self.text.lower() for word in _WORDS))

    @property
    def may_be_about_one_mail(self) -> bool:
        """Whether a refused FETCH says by its code alone that something is away or in use: the account, or one mail."""
        is_strong = any(word in self.text.lower() for word in _STRONG_WORDS)
        return self.code in _AMBIGUOUS and not is_strong and self.retry_after is None

    @property
    def is_quota(self) -> bool:
        return self.code == "OVERQUOTA" and not self.is_throttling

    @property
    def wants_tls(self) -> bool:
        """Whether passwords are taken over TLS only."""
        return self.code == "PRIVACYREQUIRED" or "plaintext authentication" in self.text.lower()

    @property
    def retry_after(self) -> float | None:
        """Seconds to stay away, where the server says so; never longer than LONGEST_BACKOFF."""
        found = _BACKOFF.search(self.text)
        return min(int(found[1]), LONGEST_BACKOFF * 1000) / 1000 if found else None


def _plain(said: object) -> str:
    if isinstance(said, bytes):
        said = said.decode("utf-8", "replace")
    text = str(said).strip()
    # imaplib puts the repr of bytes into its sentences.
    found = _BYTES.match(text)
    return found[2] if found else text
