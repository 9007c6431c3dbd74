"""Mail in, events out. Ids travel; bodies do not. Every task may run twice: the claim decides."""

from __future__ import annotations

from celery import shared_task

from concord.adapters.celery import (
    ADVANCE_WORKFLOW,
    BACKFILL_EMAIL_ACCOUNT,
    DELIVER,
    POLL_EMAIL_ACCOUNT,
    PROCESS_EMAIL,
)
from concord.bootstrap import concord
from concord.pipeline.poll import PollOutcome
from concord.tasks.border import border
from concord.tasks.places import in_background


@shared_task(name=POLL_EMAIL_ACCOUNT)  # type: ignore[untyped-decorator]  # celery ships no types
def poll_email_account(account_id: int, forced: bool = False) -> None:  # noqa: FBT001, FBT002 - a task's arguments travel by place
    """Take what is new in one account; `forced`, because a person asked, whatever its back-off says."""
    with border():
        concord().poller.poll(account_id, forced=forced)


@shared_task(name=BACKFILL_EMAIL_ACCOUNT)  # type: ignore[untyped-decorator]  # celery ships no types
def backfill_email_account(account_id: int) -> None:
    """Fetch a slice of one account's old mail, and queue the next."""
    with border():
        report = in_background(BACKFILL_EMAIL_ACCOUNT, account_id, concord().backfiller.backfill)
        if report and report.outcome is PollOutcome.PARTIAL:
            concord().queue.backfill(account_id)


@shared_task(name=PROCESS_EMAIL)  # type: ignore[untyped-decorator]  # celery ships no types
def process_email(message_ids: int | list[int]) -> None:
    """Turn archived messages into events. One id, or a chunk of them."""
    ids = [message_ids] if isinstance(message_ids, int) else message_ids
    with border():
        concord().processor.process(ids)


@shared_task(name=DELIVER)  # type: ignore[untyped-decorator]  # celery ships no types
def deliver(delivery_ids: list[int]) -> None:
    """Bring events to their handlers."""
    with border():
        concord().dispatcher.deliver(delivery_ids)


@shared_task(name=ADVANCE_WORKFLOW)  # type: ignore[untyped-decorator]  # celery ships no types
def advance_workflow(run_ids: list[int]) -> None:
    """Take workflow runs through their steps."""
    with border():
        concord().workflows.advance(run_ids)
