"""Finding what a person means by a number, a Message-ID or an event's id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from concord.cli.session import here
from concord.errors import NotFoundError, UsageError
from concord.model.message import Message
from concord.ports import MessageFilter

# What a database numbers its rows with.
MOST_ID: Final = 2**63 - 1


def find_message(text: str) -> Message:
    """One message. Raises UsageError where a Message-ID is that of several."""
    found = find_messages(text)
    if len(found) > 1:
        raise UsageError("message_id_ambiguous", message_id=text, ids=", ".join(str(one.id) for one in found))
    return found[0]


def find_messages(text: str) -> list[Message]:
    """The message of that number, or all with that Message-ID: senders re-use them, and mail lies in many folders."""
    if text.isdecimal():
        return [here().ledger.get(row_id(text))]
    for form in (text, f"<{text.strip('<>')}>"):
        if found := here().ledger.search(MessageFilter(message_id=form)):
            return found
    raise NotFoundError("message", message_id=text)


def message_ids(texts: Sequence[str]) -> list[Message]:
    """Each once, in the order given."""
    found = [find_message(text) for text in texts]
    return list({one.id: one for one in found}.values())


def row_id(text: str) -> int:
    """A number that a row can have. Raises NotFoundError."""
    if int(text) > MOST_ID:
        raise NotFoundError("message", id=text)
    return int(text)


def event_id(text: str) -> UUID:
    """Raises UsageError."""
    try:
        return UUID(text)
    except ValueError:
        raise UsageError("event_id", id=text) from None
