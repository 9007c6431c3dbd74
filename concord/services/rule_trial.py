"""What a rule would do to mails that are here already, before it is kept. Nothing is sent or changed (P18)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from concord import mime
from concord.errors import ArchiveLossError, ArchiveMissingError, ConcordError, NotFoundError, PermanentError
from concord.model.message import Message
from concord.model.rule import Decision, Rule
from concord.pipeline.reading import Book
from concord.pipeline.rules import RuleVerdict, explain, subject_of
from concord.ports import MessageFilter
from concord.services.lookup import named

if TYPE_CHECKING:
    from concord.bootstrap import Concord

MOST: Final = 200
# Somebody waits in front of a screen. The time is looked at between two mails.
SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which mails to look at: the one named, or so many of the newest, of one account or of all."""

    message: str = ""  # its number, Message-ID or event
    account: str = ""
    last: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One mail: what the rules say of it now, and what they would with the rule."""

    message: Message
    verdict: RuleVerdict  # the rule's own
    before: Decision
    after: Decision

    @property
    def changes(self) -> bool:
        """Whether anything would be different for this mail."""
        return replace(self.before, matched=(), warnings=()) != replace(self.after, matched=(), warnings=())


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrial:
    """All of them. `chosen` is how many were to be looked at, which is more where time was up."""

    tried: tuple[Tried, ...]
    unread: tuple[tuple[Message, ConcordError], ...]
    chosen: int

    @property
    def looked_at(self) -> int:
        """How many that is, readable or not."""
        return len(self.tried) + len(self.unread)

    @property
    def matches(self) -> int:
        """How many of them the rule means."""
        return sum(one.verdict.matched for one in self.tried)

    @property
    def changes(self) -> int:
        """For how many something would be different."""
        return sum(one.changes for one in self.tried)


def try_rule(
    parts: Concord,
    rule: Rule,
    chosen: Chosen,
    *,
    replacing: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> RuleTrial:
    """Look at up to 200 mails, for up to three seconds, as if the rule were kept and switched on.

    `replacing` is the name under which it is kept already. Raises NotFoundError, InfrastructureError.
    """
    end = clock() + SECONDS
    messages = _messages(parts, chosen)
    now = Book.open(parts.rulebook, parts.accounts, default_handlers=parts.settings.dispatch.default_handlers)
    rule = replace(rule, enabled=True)
    then = replace(now, rules=[*(kept for kept in now.rules if kept.name not in (replacing, rule.name)), rule])
    tried: list[Tried] = []
    unread: list[tuple[Message, ConcordError]] = []
    for message in messages:
        if clock() >= end:
            break
        try:
            tried.append(_tried(parts, message, rule.name, now, then))
        except (PermanentError, ArchiveLossError) as error:
            unread.append((message, error))
    return RuleTrial(tried=tuple(tried), unread=tuple(unread), chosen=len(messages))


def _tried(parts: Concord, message: Message, name: str, now: Book, then: Book) -> Tried:
    if message.archive_key is None:
        raise ArchiveMissingError("never_archived", message_id=message.id)
    mail = mime.read(parts.archive.read(message.archive_key, sha256=message.sha256))
    verdicts = explain(then.rules, subject_of(message, mail))
    return Tried(
        message=message,
        verdict=next(verdict for verdict in verdicts if verdict.name == name),
        before=now.decide(message, mail),
        after=then.decide(message, mail),
    )


def _messages(parts: Concord, chosen: Chosen) -> Sequence[Message]:
    if chosen.message:
        found = named(parts, chosen.message).messages
        if not found:
            raise NotFoundError("message.any_form", wanted=chosen.message)
        return found[:MOST]
    if chosen.account:
        parts.accounts.get(chosen.account)
    wanted = MessageFilter(account=chosen.account or None, limit=max(1, min(chosen.last, MOST)))
    return [one for one in parts.ledger.search(wanted) if one.archive_key]
