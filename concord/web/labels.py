"""Words for the states that the database knows by code, and the tone each is shown in."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from concord.web.i18n import N_, gettext

# By code; one code means the same wherever it stands.
_LABELS: Final[Mapping[str, str]] = {
    # accounts
    "new": N_("new"),
    "ok": N_("ok"),
    "backing_off": N_("backing off"),
    "auth_failed": N_("login refused"),
    "tls": N_("no trusted TLS"),
    "dns": N_("name not found"),
    "unreachable": N_("unreachable"),
    "throttled": N_("throttled"),
    "folder_missing": N_("folder missing"),
    "quota": N_("over quota"),
    "internal_error": N_("internal error"),
    "disabled": N_("off"),
    "enabled": N_("on"),
    # who knows a mail address's server, and what came of asking
    "preset": N_("the domain is a known provider's own"),
    "srv": N_("the domain's DNS says so"),
    "exchanger": N_("a known provider takes the domain's mail"),
    "autoconfig": N_("the domain's file for mail programs says so"),
    "ispdb": N_("a directory of mail providers says so"),
    "guess": N_("a usual name, which answers"),
    "found": N_("found"),
    "nothing": N_("nothing there"),
    "forbidden": N_("not asked: the address is private"),
    "late": N_("no answer in time"),
    # messages
    "unfetched": N_("not fetched yet"),
    "archived": N_("archived"),
    "processing": N_("processing"),
    "processed": N_("processed"),
    "skipped": N_("skipped"),
    "quarantined": N_("quarantined"),
    # why a mail was set aside or skipped
    "archive_missing": N_("its bytes are not in the archive"),
    "archive_damaged": N_("its bytes in the archive are damaged"),
    "worker_lost": N_("the worker died with it in hand"),
    "too_slow": N_("processing it took too long"),
    "too_much_memory": N_("processing it took too much memory"),
    "result_refused": N_("the database refused what was made of it"),
    "result_unproven": N_("nothing that was made of mails could be written"),
    "out_of_time": N_("there was no time left in its task"),
    "worker_stopped": N_("the worker was stopped"),
    "database_down": N_("the database did not answer"),
    "archive_down": N_("the archive could not be read or written"),
    "unexpected": N_("an error that Concord did not expect"),
    "message_unreadable": N_("the server does not hand it over"),
    "message_gone": N_("gone from the server"),
    "mailbox_protocol": N_("the server's answer is not IMAP"),
    "mailbox_server": N_("the server reports a fault of its own"),
    "mailbox_down": N_("the server did not answer"),
    "poll_budget": N_("there was no time to fetch it"),
    "unaccounted": N_("found late, and not handed over"),
    "usage": N_("a rule or setting cannot be followed"),
    "settings": N_("a setting is wrong"),
    "oversized": N_("larger than allowed"),
    "renumbered": N_("the server renumbered its folder"),
    "rule": N_("a rule says so"),
    # after-actions on the server
    "none": N_("nothing to do"),
    # what is odd about a mail
    "empty": N_("it is empty"),
    "bare-cr": N_("lines end with CR alone"),
    "nul-bytes": N_("NUL bytes"),
    "headers-missing": N_("no headers"),
    "header-malformed": N_("a malformed header"),
    "header-separator-missing": N_("no empty line after the headers"),
    "header-too-long": N_("a header that is too long"),
    "header-duplicate": N_("a header that stands twice"),
    "too-many-headers": N_("too many headers"),
    "control-characters": N_("control characters in a header"),
    "encoded-word-malformed": N_("a malformed encoded word"),
    "charset-unknown": N_("an unknown character set"),
    "charset-guessed": N_("a character set that was guessed"),
    "undecodable-bytes": N_("bytes that are no text"),
    "from-missing": N_("no sender"),
    "address-malformed": N_("a malformed address"),
    "too-many-addresses": N_("too many addresses"),
    "too-many-references": N_("too many references"),
    "date-missing": N_("no date"),
    "date-malformed": N_("a malformed date"),
    "date-repaired": N_("a date that was repaired"),
    "content-type-malformed": N_("a malformed content type"),
    "parameter-malformed": N_("a malformed parameter"),
    "unsafe-filename": N_("an unsafe file name"),
    "boundary-missing": N_("parts without a boundary"),
    "boundary-not-found": N_("a boundary that is nowhere"),
    "closing-boundary-missing": N_("cut off: no closing boundary"),
    "too-deep": N_("parts within parts, too deep"),
    "too-many-parts": N_("too many parts"),
    "transfer-encoding-unknown": N_("an unknown transfer encoding"),
    "base64-malformed": N_("malformed base64"),
    "quoted-printable-malformed": N_("malformed quoted-printable"),
    "uuencode-malformed": N_("malformed uuencode"),
    "text-truncated": N_("its text is shortened in the event"),
    "html-truncated": N_("its HTML is shortened in the event"),
    # deliveries and runs
    "pending": N_("waiting"),
    "held": N_("held"),
    "delivering": N_("under way"),
    "delivered": N_("delivered"),
    "dead": N_("given up"),
    "succeeded": N_("succeeded"),
    "failed": N_("failed"),
    # daemons
    "running": N_("running"),
    "starting": N_("starting"),
    "stopping": N_("stopping"),
    "stopped": N_("stopped"),
    "absent": N_("not installed"),
    "working": N_("working"),
    "degraded": N_("degraded"),
    "unknown": N_("unknown"),
    # priorities
    "high": N_("high"),
    "normal": N_("normal"),
    "low": N_("low"),
    # roles and scopes
    "viewer": N_("viewer"),
    "operator": N_("operator"),
    "admin": N_("admin"),
    "read": N_("see"),
    "mail": N_("read mails"),
    "sync": N_("sync the schedule"),
    "operate": N_("operate"),
    "configure": N_("configure"),
    # the audit
    "done": N_("done"),
    "refused": N_("refused"),
}
_GOOD: Final = frozenset(("ok", "enabled", "processed", "delivered", "succeeded", "running", "working", "done"))
_BAD: Final = frozenset(
    (
        "auth_failed", "tls", "dns", "unreachable", "folder_missing", "quota", "internal_error", "quarantined", "dead",
        "failed", "degraded", "refused",
    )
)  # fmt: skip
_WARM: Final = frozenset(("backing_off", "throttled", "unfetched", "starting", "stopping", "unknown", "high", "held"))
_BUSY: Final = frozenset(("archived", "processing", "pending", "delivering"))


def label(code: object) -> str:
    """A state in the reader's words."""
    text = code.value if isinstance(code, StrEnum) else str(code)
    return gettext(_LABELS[text]) if text in _LABELS else text.replace("_", " ")


def tone(code: object) -> str:
    """good, bad, warm, busy or quiet: the colour of its badge, which never speaks without its word."""
    text = code.value if isinstance(code, StrEnum) else str(code)
    for name, codes in (("good", _GOOD), ("bad", _BAD), ("warm", _WARM), ("busy", _BUSY)):
        if text in codes:
            return name
    return "quiet"
