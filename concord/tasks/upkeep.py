"""What Concord does for itself, over and over."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from concord.adapters.celery import (
    CANARY,
    RECONCILE,
    RECONCILE_ACCOUNT,
    RECORD_NUMBERS,
    RENEW_TOKENS,
    SWEEP,
    SYNC_EMAIL_TASKS,
)
from concord.bootstrap import concord
from concord.tasks.border import border
from concord.tasks.places import in_background


@shared_task(name=SWEEP)  # type: ignore[untyped-decorator]  # celery ships no types
def sweep() -> None:
    """Queue again what stands still."""
    with border():
        concord().sweeper.sweep()


@shared_task(name=SYNC_EMAIL_TASKS)  # type: ignore[untyped-decorator]  # celery ships no types
def sync_email_tasks() -> None:
    """Make the schedule equal to the accounts."""
    with border():
        concord().sync()


@shared_task(name=RECORD_NUMBERS)  # type: ignore[untyped-decorator]  # celery ships no types
def record_numbers() -> None:
    """Keep the numbers of the minute that ended."""
    with border():
        concord().recorder.record()


@shared_task(name=RECONCILE)  # type: ignore[untyped-decorator]  # celery ships no types
def reconcile() -> None:
    """Have the accounts compared with their servers whose time has come."""
    with border():
        concord().reconciler.begin()


@shared_task(name=RENEW_TOKENS)  # type: ignore[untyped-decorator]  # celery ships no types
def renew_tokens() -> None:
    """Renew the OAuth2 tokens that expire soon."""
    with border():
        concord().tokens.renew_due()


@shared_task(name=RECONCILE_ACCOUNT)  # type: ignore[untyped-decorator]  # celery ships no types
def reconcile_account(account_id: int) -> None:
    """Compare one account with its server."""
    with border():
        in_background(RECONCILE_ACCOUNT, account_id, concord().reconciler.reconcile)


# Acknowledged before it runs: one that its worker takes along when it dies is never handed out again. No events: every
# worker runs one every few seconds, and Flower is for mail.
@shared_task(name=CANARY, bind=True, acks_late=False, send_events=False)  # type: ignore[untyped-decorator]  # celery ships no types
def canary(self: Any, token: str) -> None:
    """Come back. With a token somebody waits to read where from; without one the worker only proves itself."""
    if token:
        with border():
            concord().answer_canary(token, str(self.request.hostname))
