"""The steps of a mail's trail in plain words, and the facts of each (P19)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from concord.model.message import Step
from concord.web.i18n import N_

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "message.archived": ("good", N_("Its bytes are safe in the archive")),
    "message.unfetched": ("warm", N_("The server listed it and did not hand it over")),
    "message.skipped": ("quiet", N_("Skipped on purpose")),
    "message.processed": ("good", N_("Read, judged by the rules, made an event")),
    "message.postponed": ("warm", N_("Could not be processed yet")),
    "message.waiting": ("warm", N_("Waits for our own database, Redis or archive")),
    "message.quarantined": ("bad", N_("Set aside: it cannot be processed as things stand")),
    "message.lost": ("warm", N_("The archive lacks its bytes; the server is asked for them again")),
    "message.restored": ("good", N_("The archive has its bytes again")),
    "message.retried": ("busy", N_("Goes back to be processed")),
    "message.copied": ("quiet", N_("Moved or copied from another folder: the same mail, so no second event")),
    "message.remapped": ("quiet", N_("Found again after the server renumbered its folder")),
    "message.replayed": ("busy", N_("Sent again to handlers")),
    "message.after": ("quiet", N_("The mailbox's after-action on the server")),
    "delivery.delivered": ("good", N_("A handler took it")),
    "delivery.retry": ("warm", N_("A handler did not take it yet")),
    "delivery.held": ("warm", N_("Waits until its handler is enabled or added")),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFact:
    """A fact of a step: its name to be translated, and how its value is shown."""

    name: str
    kind: str  # text, moment, octets, code, codes, story or link
    value: Any
    place: str = ""


# By name; what is not here is shown as it stands.
_FACTS: Final[Mapping[str, tuple[str, str]]] = {
    "attempt": (N_("Try"), "text"),
    "version": (N_("Concord's version"), "text"),
    "due_at": (N_("Next try"), "moment"),
    "times": (N_("How many times"), "text"),
    "since": (N_("Since"), "moment"),
    "size": (N_("Size"), "octets"),
    "error_code": (N_("Reason"), "code"),
    "error": (N_("Error"), "story"),
    "reason": (N_("What happened"), "story"),
    "event": (N_("Event"), "link"),
    "priority": (N_("Priority"), "code"),
    "state": (N_("State"), "code"),
    "matched": (N_("Rules that match"), "text"),
    "handlers": (N_("Goes to"), "text"),
    "workflows": (N_("Workflows"), "text"),
    "defects": (N_("Oddities of the mail"), "codes"),
    "delivery": (N_("Delivery"), "link"),
    "deliveries": (N_("Deliveries"), "text"),
    "handler": (N_("Handler"), "text"),
    "workflow": (N_("Workflow"), "text"),
    "step": (N_("Step"), "text"),
    "output": (N_("Result"), "text"),
    "why": (N_("Why"), "text"),
    "status": (N_("HTTP status"), "text"),
    "uid": (N_("New UID"), "text"),
    "from_uid": (N_("Old UID"), "text"),
    "copy_of": (N_("The mail it is a copy of"), "link"),
    "from_folder": (N_("Other folder"), "text"),
}
# What is linked by its number, and where its page is.
_NUMBERED: Final[Mapping[str, str]] = {"delivery": "/admin/deliveries", "copy_of": "/admin/messages"}
# Of no use to a person, or said by the step itself.
_SILENT: Final = frozenset(("counts", "archive_key", "skipped", "uidvalidity", "from_uidvalidity"))
_CODE: Final = re.compile(r"[a-z_]+")


def facts(step: Step) -> list[ShownFact]:
    """What is worth knowing of a step."""
    told = ((name, value) for name, value in step.detail.items() if value not in (None, "", [], {}))
    return [fact for name, value in told if name not in _SILENT for fact in _fact(step, name, value)]


def _fact(step: Step, name: str, value: object) -> Iterator[ShownFact]:
    if name == "run" and step.what.startswith("workflow."):
        yield ShownFact(name=N_("Run"), kind="link", value=f"#{value}", place=f"/admin/workflows/{value}")
        return
    if name == "run":
        if value:  # the first round is none
            yield ShownFact(name=N_("Replay"), kind="text", value=str(value))
        return
    title, kind = _FACTS.get(name, (name.replace("_", " "), "text"))
    if name in _NUMBERED:
        yield ShownFact(name=title, kind=kind, value=f"#{value}", place=f"{_NUMBERED[name]}/{value}")
    elif name == "event":
        yield ShownFact(name=title, kind=kind, value=str(value), place=f"/admin/events/{value}")
    elif name == "error" and _CODE.fullmatch(str(value)):
        yield ShownFact(name=N_("Reason"), kind="code", value=str(value))
    elif kind == "moment":
        yield from _moment(title, value)
    elif kind == "codes" and isinstance(value, list):
        yield ShownFact(name=title, kind=kind, value=[str(one) for one in value])
    elif kind == "octets" and isinstance(value, int):
        yield ShownFact(name=title, kind=kind, value=value)
    else:
        yield ShownFact(name=title, kind="text" if kind in ("octets", "codes") else kind, value=_text(value))


def _moment(title: str, value: object) -> Iterator[ShownFact]:
    try:
        yield ShownFact(name=title, kind="moment", value=datetime.fromisoformat(str(value)))
    except ValueError:
        yield ShownFact(name=title, kind="text", value=str(value))


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
