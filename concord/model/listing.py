"""Lists that people page through, the newest first: what they are narrowed to, where a page lies, what it shows.

Pages go by marks, not by numbers: the next one costs the same after a million rows, and no row is shown twice because
new ones came meanwhile. Nobody counts all rows to say how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from concord.model.account import Priority
from concord.model.delivery import Delivery, DeliveryState
from concord.model.message import MessageState
from concord.model.workflow import RunState, WorkflowRun

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a list: between its row and the next."""

    at: datetime
    id: int | UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which page: what is older than a mark, or the nearest that is newer than one; neither: the newest."""

    before: Mark | None = None
    after: Mark | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Item]):
    """A page, the newest row first. It may have fewer rows than asked for, or none, and there be more beyond.

    A question that no index answers is asked only of as many rows as can be looked at in a moment: then `looked_to`
    says how far that was, and the mark goes on from there.
    """

    items: tuple[Item, ...]
    newer: Mark | None = None  # the mark that newer rows are after
    older: Mark | None = None  # the mark that older rows are before
    looked_to: datetime | None = None  # None: everything between the marks


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesWanted:
    """None means any. Each word of `search` is in the subject or the sender, in upper or lower case."""

    account: str | None = None
    folder: str | None = None
    state: MessageState | None = None
    priority: Priority | None = None
    error_code: str | None = None
    search: str | None = None
    since: datetime | None = None  # when Concord saw it
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsWanted:
    """None means any. Each word of `search` is in the mail's subject or sender."""

    account: str | None = None
    search: str | None = None
    since: datetime | None = None  # when the event was made
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveriesWanted:
    """None means any."""

    account: str | None = None
    handler: str | None = None
    state: DeliveryState | None = None
    event_id: UUID | None = None
    since: datetime | None = None  # when the delivery was made
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsWanted:
    """None means any."""

    account: str | None = None
    workflow: str | None = None
    state: RunState | None = None
    event_id: UUID | None = None
    since: datetime | None = None  # when the run was made
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery:
    """A delivery with whose mail it tells of."""

    delivery: Delivery
    account: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun:
    """A workflow run with whose mail it is about."""

    run: WorkflowRun
    account: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why messages are in quarantine: those of one cause together, as far as the newest of them were looked at."""

    code: str
    error: str  # the newest one's, with its facts and remedy
    amount: int
    newest: datetime
    oldest: datetime
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHits:
    """How often a rule matched lately, and the last mail of those."""

    amount: int
    message_id: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What came of rules, by their names, for so many of the mails judged last."""

    judged: int
    hits: Mapping[str, RuleHits]
