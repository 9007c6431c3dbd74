"""A Celery app with Concord's configuration and tasks that write down in Redis that they ran."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from celery.worker.control import control_command

from concord import settings
from concord.adapters.celery import (
    ADVANCE_WORKFLOW,
    CANARY,
    DELIVER,
    POLL_EMAIL_ACCOUNT,
    PROCESS_EMAIL,
    SWEEP,
    SYNC_EMAIL_TASKS,
    make_app,
)
from concord.adapters.flower import prepare
from concord.adapters.pulse import answer
from concord.adapters.redbeat import RedBeatSchedule
from concord.adapters.redis import connect
from concord.ports import ScheduledPoll

chosen = settings.load()
app = make_app(chosen)
if "flower" in sys.argv:
    prepare(chosen)
RAN = "probe:ran"
PIDS = "probe:pids"
HOG = 666_666  # the message that takes memory and keeps it
HOLD = "probe:hold"


_kept: list[bytes] = []


@control_command(args=[("seconds", float)])  # type: ignore[untyped-decorator]  # celery ships no types
def hang(state: Any, seconds: float) -> str:
    """Keep the worker's main loop from turning."""
    del state
    secret_in_a_frame = "a-word-in-a-variable"
    time.sleep(seconds)
    return secret_in_a_frame


def _ran(name: str, argument: object) -> None:
    with connect(chosen.redis) as client:
        client.rpush(RAN, f"{name} {argument} {time.time()}")


@app.task(name=POLL_EMAIL_ACCOUNT)  # type: ignore[untyped-decorator]  # celery ships no types
def poll(account_id: int) -> None:
    """Say so, and stay for as long as the test holds."""
    with connect(chosen.redis) as client:
        while client.exists(HOLD):
            time.sleep(0.05)
    _ran("poll", account_id)


@app.task(name=PROCESS_EMAIL)  # type: ignore[untyped-decorator]  # celery ships no types
def process(message_ids: list[int]) -> None:
    """Say so, and stay for as long as the test holds."""
    if HOG in message_ids:
        _kept.append(b"x" * 200_000_000)
    with connect(chosen.redis) as client:
        client.rpush(PIDS, os.getpid())
        while client.exists(HOLD):
            time.sleep(0.05)
    _ran("process", ",".join(map(str, message_ids)))


@app.task(name=DELIVER)  # type: ignore[untyped-decorator]  # celery ships no types
def deliver(delivery_ids: list[int]) -> None:
    """Say so, and stay for as long as the test holds."""
    with connect(chosen.redis) as client:
        client.rpush(PIDS, os.getpid())
        while client.exists(HOLD):
            time.sleep(0.05)
    _ran("deliver", ",".join(map(str, delivery_ids)))


@app.task(name=ADVANCE_WORKFLOW)  # type: ignore[untyped-decorator]  # celery ships no types
def advance(run_ids: list[int]) -> None:
    """Say so."""
    _ran("advance", ",".join(map(str, run_ids)))


@app.task(name=SWEEP)  # type: ignore[untyped-decorator]  # celery ships no types
def sweep() -> None:
    """Say so."""
    _ran("sweep", "-")


@app.task(name=SYNC_EMAIL_TASKS)  # type: ignore[untyped-decorator]  # celery ships no types
def sync() -> None:
    """Say so, and put one account's poll into the schedule, as the real one would."""
    RedBeatSchedule(app).replace([ScheduledPoll(account_id=7, interval=1)])
    _ran("sync", "-")


@app.task(name=CANARY, bind=True, acks_late=False, send_events=False)  # type: ignore[untyped-decorator]  # as above
def canary(self: Any, token: str) -> None:
    """As the real one, without a database behind it."""
    if token:
        with connect(chosen.redis) as client:
            answer(client, chosen.redis.key_prefix, token, str(self.request.hostname))
