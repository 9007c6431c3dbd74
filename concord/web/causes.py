"""What to do about the mails in quarantine, cause by cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from concord.web.i18n import N_

_RESTORE: Final = N_("Restore the archive's object from a backup, then try again")
_DEFECT: Final = N_(
    "It is a defect of Concord's: report it with a mail's trace; after an update that mends it, try again"
)
_SERVER: Final = N_("Open it in another mail program; trying again asks the server for it anew")
_WHAT_TO_DO: Final[Mapping[str, str]] = {
    "archive_missing": _RESTORE,
    "archive_damaged": _RESTORE,
    "worker_lost": N_("The worker's log says what killed it, often memory or time; give it more, then try again"),
    "too_slow": N_("Raise process.soft_time_limit and process.time_limit if such mails are wanted, then try again"),
    "too_much_memory": N_("Give the worker more memory if such mails are wanted, then try again"),
    "result_refused": _DEFECT,
    "unexpected": _DEFECT,
    "message_unreadable": _SERVER,
    "unaccounted": _SERVER,
    "message_gone": N_("Nothing to do: nobody has it any more"),
    "mailbox_protocol": _SERVER,
    "mailbox_server": _SERVER,
    "mailbox_down": N_("Test the mailbox; once it can be reached, try again"),
    "usage": N_("Correct the rule that the error names, then try again"),
    "settings": N_("Correct the setting that the error names, then try again"),
    "oversized": N_("Raise poll.max_message_bytes if it is wanted all the same, then try again"),
}
_OTHERS: Final = N_("Mend what the error says, then try again")


def todo(code: str | None) -> str:
    """A sentence to be translated."""
    return _WHAT_TO_DO.get(code or "", _OTHERS)
