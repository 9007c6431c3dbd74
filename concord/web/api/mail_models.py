"""Messages, events, deliveries and workflow runs as the API says them, and the filters that its lists have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Path, Query
from pydantic import Field

from concord.model.account import Priority
from concord.model.delivery import DeliveryState
from concord.model.fault import spelt_out
from concord.model.listing import ListedDelivery, ListedRun, Listing
from concord.model.message import AfterState, MessageState, Step
from concord.model.workflow import RunState
from concord.services.retrying import Retried
from concord.web.api.story import WithStory
from concord.web.i18n import gettext
from concord.web.lists import LONGEST, mark
from concord.web.rest import Model, Page
from concord.web.trail import words

Row = TypeVar("Row")
Item = TypeVar("Item")

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Numbers = Annotated[list[Number], Field(min_length=1, max_length=1000)]
Text = Annotated[str | None, Query(max_length=LONGEST)]
Since = Annotated[str | None, Query(max_length=40, description="From then on: `2026-01-31`, or RFC 3339; else UTC.")]
Until = Annotated[str | None, Query(max_length=40, description="Before then.")]


class Lookings(Page[Item], Generic[Item]):
    """A page that may be short, or empty, with more to come: ask on as long as there is a `next`."""

    looked_to: datetime | None = Field(
        default=None, description="There was no time to look at rows older than that; null: all were looked at."
    )

    @classmethod
    def of(cls, listing: Listing[Row], shown: Callable[[Row], Item], **more: Any) -> Lookings[Item]:
        """A listing's rows, each as the API tells it."""
        items = [shown(one) for one in listing.items]
        return cls(items=items, next=mark(listing.older) or None, looked_to=listing.looked_to, **more)


class MessageOut(WithStory):
    """A mail in the ledger. Its content is at `/messages/ID/content`."""

    id: int
    account: str
    folder: str
    uidvalidity: int
    uid: int
    event_id: UUID = Field(description="The event's name: it is there once the message is processed.")
    state: MessageState
    priority: Priority
    sha256: str | None
    size: int | None = Field(description="Octets.")
    internal_date: datetime | None
    flags: list[str]
    message_id: str | None = Field(description="The header.")
    subject: str | None
    sender: str | None
    sent_at: datetime | None
    attempts: int
    failures: int
    error_code: str | None
    due_at: datetime | None
    after: AfterState = Field(description="Whether the mailbox's after-action is done on the server.")
    seen_at: datetime
    processed_at: datetime | None


class StepOut(Model):
    """One line of a message's trail."""

    at: datetime
    what: str = Field(description="A stable word: `message.archived`, `delivery.retry`, …")
    text: str = Field(description="In the language of Accept-Language.")
    detail: dict[str, Any]

    @classmethod
    def of(cls, step: Step) -> StepOut:
        """In the reader's words."""
        return cls(at=step.at, what=step.what, text=gettext(words(step.what)[1]), detail=spelt_out(step.detail))


class EventOut(Model):
    """An event. Its document, which handlers get, is at `/events/ID/document`."""

    id: UUID
    message_id: int
    account: str
    type: str
    time: datetime
    subject: str
    sender: str
    created_at: datetime


class DeliveryOut(WithStory):
    """An event on its way to a handler."""

    id: int
    event_id: UUID
    message_id: int
    handler: str
    run: int = Field(description="0 for the first round; then the number of the replay.")
    state: DeliveryState
    attempts: int
    failures: int
    due_at: datetime
    held: bool = Field(description="It waits until its handler is enabled, or is there again.")
    priority: Priority
    error_code: str | None = Field(description="A stable word for the error.")
    created_at: datetime
    delivered_at: datetime | None


class ListedDeliveryOut(DeliveryOut):
    """The same with whose mail it tells of."""

    account: str
    subject: str

    @classmethod
    def of(cls, listed: ListedDelivery) -> ListedDeliveryOut:
        """As the API tells it."""
        told = dict(DeliveryOut.model_validate(listed.delivery))
        return cls(**told, account=listed.account, subject=listed.subject)


class RunOut(WithStory):
    """An event on its way through a workflow."""

    id: int
    event_id: UUID
    message_id: int
    workflow: str
    state: RunState
    position: int = Field(description="At which step it stands, from 0.")
    attempts: int
    failures: int
    due_at: datetime
    created_at: datetime
    finished_at: datetime | None


class ListedRunOut(RunOut):
    """The same with whose mail it is about."""

    account: str
    subject: str

    @classmethod
    def of(cls, listed: ListedRun) -> ListedRunOut:
        """As the API tells it."""
        told = dict(RunOut.model_validate(listed.run))
        return cls(**told, account=listed.account, subject=listed.subject)


class ChosenIn(Model):
    """Which are meant."""

    ids: Numbers


class RetriedOut(Model):
    """What came of trying again."""

    changed: list[int] = Field(description="Those that are tried again.")
    unchanged: list[int] = Field(description="Those that cannot be, as they stand, or are not there.")
    queued: bool = Field(description="False: Redis was away; they are tried once it answers.")

    @classmethod
    def of(cls, done: Retried) -> RetriedOut:
        """As the API tells it."""
        return cls(changed=list(done.changed), unchanged=list(done.unchanged), queued=done.trouble is None)
