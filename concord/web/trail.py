"""The steps of a mail's trail in plain words (P19)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from concord.web.i18n import N_

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "message.archived": ("good", N_("Its bytes are safe in the archive")),
    "message.unfetched": ("warm", N_("The server listed it and did not hand it over")),
    "message.skipped": ("quiet", N_("Skipped on purpose")),
    "message.processed": ("good", N_("Read, judged by the rules, made an event")),
    "message.postponed": ("warm", N_("Could not be processed yet")),
    "message.waiting": ("warm", N_("Waits for our own database, Redis or archive")),
    "message.quarantined": ("bad", N_("Set aside: it cannot be processed as things stand")),
    "message.retried": ("busy", N_("Goes back to be processed")),
    "message.remapped": ("quiet", N_("Found again after the server renumbered its folder")),
    "message.replayed": ("busy", N_("Sent again to handlers")),
    "message.after": ("quiet", N_("The mailbox's after-action on the server")),
    "delivery.delivered": ("good", N_("A handler took it")),
    "delivery.retry": ("warm", N_("A handler did not take it yet")),
    "delivery.dead": ("bad", N_("A handler will not get it any more")),
    "delivery.retried": ("busy", N_("A handler is offered it again")),
    "workflow.step": ("good", N_("A workflow step is done")),
    "workflow.succeeded": ("good", N_("A workflow is done")),
    "workflow.retry": ("warm", N_("A workflow step must be tried again")),
    "workflow.failed": ("bad", N_("A workflow failed")),
    "workflow.retried": ("busy", N_("A workflow goes on at the step that failed")),
}


def words(what: str) -> tuple[str, str]:
    """Its tone, and its sentence to be translated; an unknown step is told by its name."""
    return _WORDS.get(what, ("quiet", what))
