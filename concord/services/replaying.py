"""Running many messages again: first what would be done, then exactly those messages that were shown (P18)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from concord.errors import ConcordError, UsageError
from concord.model.listing import MessagesWanted
from concord.model.message import MessageState
from concord.model.progress import Told, untold
from concord.pipeline.replay import Replayed
from concord.services import messages
from concord.services.retrying import numbered

if TYPE_CHECKING:
    from concord.bootstrap import Concord

# The rules are tried on so many: each is read from the archive.
MOST_TRIED: Final = 2_000
MOST_CHOSEN: Final = 500
_EXAMPLES: Final = 10
_ANY: Final = MessagesWanted()
_TOLD_EVERY: Final = 100
_FOUND_EVERY: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Which messages, and to whom: those of these numbers, or all processed ones that are like that."""

    ids: tuple[int, ...] = ()
    wanted: MessagesWanted = _ANY
    handlers: tuple[str, ...] = ()  # none: as the rules say

    @property
    def subject(self) -> str:
        """For the audit: `message 7`, `messages of sales, from 2026-01-01 on`."""
        if self.ids:
            return numbered(self.ids, "message")
        like = self.wanted
        named = [
            *([f"of {like.account}"] if like.account else []),
            *([f"in {like.folder}"] if like.folder else []),
            *([f"of priority {like.priority}"] if like.priority else []),
            *([f"with '{like.search}'"] if like.search else []),
            *([f"from {like.since:%Y-%m-%d %H:%M} on"] if like.since else []),
            *([f"before {like.until:%Y-%m-%d %H:%M}"] if like.until else []),
        ]
        return f"messages {', '.join(named)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPreview:
    """What a replay would do; it takes exactly these messages. The rules were tried on the first `tried` of them."""

    ids: tuple[int, ...]  # the oldest first
    handlers: tuple[str, ...]
    subject: str
    tried: int
    deliveries: int
    nobody: int  # messages that no handler would get
    to: tuple[tuple[str, int], ...]  # handler, how many it would get
    matched: tuple[tuple[str, int], ...]  # rule, how many match it
    examples: tuple[Replayed, ...]
    failed: int
    failures: tuple[tuple[int, ConcordError], ...]


def refuse_everything(choice: Replay) -> None:
    """Raises UsageError where nothing is said of which messages are meant."""
    if not choice.ids and choice.wanted == _ANY:
        raise UsageError("replay_messages.choice")


def preview(parts: Concord, choice: Replay, *, told: Told = untold) -> ReplayPreview:
    """The dry run. Changes nothing. Raises UsageError, NotFoundError, InfrastructureError."""
    refuse_everything(choice)
    messages.refuse_unknown(parts, choice.handlers)
    ids = choice.ids or tuple(found(parts, choice.wanted, told))
    report = messages.preview(parts, _watched(ids[:MOST_TRIED], told), choice.handlers)
    to = Counter(name for one in report.done for name in one.handlers)
    return ReplayPreview(
        ids=ids,
        handlers=choice.handlers,
        subject=choice.subject,
        tried=min(len(ids), MOST_TRIED),
        deliveries=to.total(),
        nobody=sum(not one.handlers for one in report.done),
        to=tuple(to.most_common()),
        matched=tuple(Counter(rule for one in report.done for rule in one.matched).most_common()),
        examples=report.done[:_EXAMPLES],
        failed=len(report.failed),
        failures=report.failed[:_EXAMPLES],
    )


def found(parts: Concord, wanted: MessagesWanted, told: Told) -> list[int]:
    """Numbers of those, the oldest first. Only what was processed: others have their own way to go."""
    if wanted.account:
        parts.accounts.get(wanted.account)
    ids: list[int] = []
    for message in messages.every(parts, replace(wanted, state=MessageState.PROCESSED)):
        ids.append(message.id)
        if len(ids) % _FOUND_EVERY == 0:
            told("%(count)s messages found so far", count=len(ids))
    return ids[::-1]


def _watched(ids: Sequence[int], told: Told) -> Iterator[int]:
    for done, message_id in enumerate(ids):
        if done % _TOLD_EVERY == 0:
            told("The rules are tried: %(done)s of %(all)s messages", done=done, all=len(ids))
        yield message_id
