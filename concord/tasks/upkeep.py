"""What Concord does for itself, over and over."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from concord.adapters.celery import CANARY, SWEEP, SYNC_EMAIL_TASKS
from concord.bootstrap import concord
from concord.tasks.border import border


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


# Acknowledged before it runs: one that its worker takes along when it dies is never handed out again. No events: every
# worker runs one every few seconds, and Flower is for mail.
@shared_task(name=CANARY, bind=True, acks_late=False, send_events=False)  # type: ignore[untyped-decorator]  # celery ships no types
def canary(self: Any, token: str) -> None:
    """Come back. With a token somebody waits to read where from; without one the worker only proves itself."""
    if token:
        with border():
            concord().answer_canary(token, str(self.request.hostname))
