"""What tasks, queues and priorities are called on the wire. People type the queues' names."""

from __future__ import annotations

POLL_QUEUE = "email-poll"
MAIL_QUEUE = "email"
DELIVER_QUEUE = "email-deliver"
QUEUES = (POLL_QUEUE, MAIL_QUEUE, DELIVER_QUEUE)

POLL_EMAIL_ACCOUNT = "concord.poll_email_account"
BACKFILL_EMAIL_ACCOUNT = "concord.backfill_email_account"
PROCESS_EMAIL = "concord.process_email"
DELIVER = "concord.deliver"
ADVANCE_WORKFLOW = "concord.advance_workflow"
SWEEP = "concord.sweep"
SYNC_EMAIL_TASKS = "concord.sync_email_tasks"
RECORD_NUMBERS = "concord.record_numbers"
RECONCILE = "concord.reconcile"
RECONCILE_ACCOUNT = "concord.reconcile_account"
RENEW_TOKENS = "concord.renew_tokens"
CANARY = "concord.canary"

# kombu keeps one Redis list for each queue and step, and takes from the lowest number first.
URGENT, LEVEL, BEHIND = 0, 3, 6
PRIORITY_STEPS = (URGENT, LEVEL, BEHIND)

STEP_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and its step; step 0 has none

DELIVERY_CHUNK = 20
# How long a task may go on making deliveries (`pipeline.turns`), with what it needs besides.
TURN_SECONDS = 60


def step_key(queue: str, step: int) -> str:
    """The Redis list of one queue's step, without the prefix."""
    return f"{queue}{STEP_SEPARATOR}{step}" if step else queue
