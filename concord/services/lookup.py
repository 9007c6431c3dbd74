"""What a person means by something copied from elsewhere: a number, a Message-ID, an event's id, a mail's digest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from concord.errors import NotFoundError
from concord.model.message import Message
from concord.ports import MessageFilter

if TYPE_CHECKING:
    from concord.bootstrap import Concord

_NUMBER: Final = re.compile(r"#?([0-9]{1,18})")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_EVENT: Final = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
# RFC 5322 section 3.6.4, as loosely as senders take it.
_MESSAGE_ID: Final = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The messages that are meant. `only`: words cannot be meant as well, as they may by a number or an address."""

    messages: tuple[Message, ...] = ()
    only: bool = False


def named(concord: Concord, text: str) -> Named:
    """Asked of indexes only."""
    wanted = text.strip()
    if found := _NUMBER.fullmatch(wanted):
        return Named(messages=_of_number(concord, int(found[1])), only=wanted.startswith("#"))
    if _EVENT.fullmatch(wanted):
        return Named(messages=_of_event(concord, UUID(wanted)), only=True)
    if _DIGEST.fullmatch(wanted):
        return Named(messages=tuple(concord.lists.with_content(wanted.lower())), only=True)
    if _MESSAGE_ID.fullmatch(wanted):
        return Named(messages=_of_message_id(concord, wanted), only=wanted.startswith("<"))
    return Named()


def _of_number(concord: Concord, number: int) -> tuple[Message, ...]:
    try:
        return (concord.ledger.get(number),)
    except NotFoundError:
        return ()


def _of_event(concord: Concord, event_id: UUID) -> tuple[Message, ...]:
    try:
        return _of_number(concord, concord.outbox.event(event_id).message_id)
    except NotFoundError:
        return ()


def _of_message_id(concord: Concord, text: str) -> tuple[Message, ...]:
    """Senders re-use them, and mail lies in many folders."""
    bare = text.strip("<>")
    for form in (f"<{bare}>", bare):
        if found := concord.ledger.search(MessageFilter(message_id=form)):
            return tuple(found)
    return ()
