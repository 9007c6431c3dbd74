"""A stop that reaches a worker while it starts: it ends, well and soon, wherever it was (M4, D2)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.servers.stopped_worker import POINTS
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
# TimeoutStopSec of the unit. All start at once, so a busy machine gets its patience.
STOP_SECONDS = 75 * PATIENCE


@pytest.fixture
def stack(tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    with Stack(tmp_path, redis_url=own_redis.url) as running:
        yield running


def starts(stack: Stack, points: list[str], sign: str, instance: str) -> dict[str, int | None]:
    """The exit status of a worker for each point at which the signal came; None where it did not end."""
    env = stack.env | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.servers.stopped_worker"]
    workers = {}
    for point in points:
        with (stack.logs / f"{sign}-{point}.log").open("wb") as log:
            workers[point] = subprocess.Popen(
                [*command, point, sign, instance], env=env, stdout=log, stderr=log, start_new_session=True
            )
    return {point: _status(worker) for point, worker in workers.items()}


def _status(worker: subprocess.Popen[bytes]) -> int | None:
    try:
        return worker.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
        return None


@pytest.mark.parametrize(("sign", "instance"), [("SIGQUIT", "mail"), ("SIGQUIT", "poll"), ("SIGTERM", "mail")])
def test_stop_ends_a_starting_worker_well(stack: Stack, sign: str, instance: str) -> None:
    """SIGQUIT is what systemd and supervisord send; its default is a core dump, and a failed unit."""
    statuses = starts(stack, list(POINTS), sign, instance)

    logs = {point: (stack.logs / f"{sign}-{point}.log").read_text(errors="replace")[-1500:] for point in POINTS}
    assert statuses == dict.fromkeys(POINTS, 0), "\n".join(logs[point] for point in POINTS if statuses[point])
    assert [point for point, log in logs.items() if "Traceback" in log] == []


def test_stop_ends_a_worker_that_has_never_reached_redis(stack: Stack, own_redis: RedisServer) -> None:
    own_redis.stop()

    assert starts(stack, ["connecting"], "SIGQUIT", "mail") == {"connecting": 0}
