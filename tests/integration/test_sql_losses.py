"""What the archive lacks, in the database: asked for in turn, and settled once it is back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from concord.adapters.sql.losses import SqlLosses
from concord.errors import ArchiveMissingError
from concord.model.loss import Verdict
from tests.sql_world import MINUTE, World

LOST = ArchiveMissingError("object", key="raw/1")


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


@pytest.fixture
def losses(world: World) -> SqlLosses:
    return SqlLosses(world.engine, world.clock)


def lose(world: World, losses: SqlLosses, count: int) -> list[int]:
    """So many archived messages whose bytes are gone, a minute apart."""
    ids = [claim.message.id for claim in world.claimed(count)]
    for known in ids:
        losses.add(known, LOST)
        world.clock.forward(MINUTE)
    return ids


def due(world: World, losses: SqlLosses, limit: int = 10) -> list[int]:
    return [loss.message_id for loss in losses.due(world.account.id, limit=limit)]


def test_the_longest_due_is_asked_for_first(world: World, losses: SqlLosses) -> None:
    ids = lose(world, losses, 3)

    assert due(world, losses, limit=2) == ids[:2]
    assert losses.due(world.account.id + 1, limit=2) == []


def test_a_loss_that_is_known_keeps_its_due_time(world: World, losses: SqlLosses) -> None:
    [known] = lose(world, losses, 1)
    losses.postpone([known], due_at=world.clock() + 10 * MINUTE)

    losses.add(known, LOST)

    assert due(world, losses) == []
    world.clock.forward(11 * MINUTE)
    assert due(world, losses) == [known]


def test_a_verdict_is_one_step_of_the_trail_however_often_it_comes(world: World, losses: SqlLosses) -> None:
    [known] = lose(world, losses, 1)

    for _ in range(3):
        losses.postpone([known], due_at=world.clock(), verdict=Verdict.GONE)

    steps = [step.detail for step in world.ledger.trail(known) if step.what == "message.lost"]
    assert steps == [{"error": LOST.code}, {"server": Verdict.GONE.value}]


def test_what_is_back_is_lost_no_more(world: World, losses: SqlLosses) -> None:
    first, second = lose(world, losses, 2)
    assert world.accounts.status(world.account.id).lost == 2

    losses.settle([first])

    assert due(world, losses) == [second]
    assert world.accounts.status(world.account.id).lost == 1
    assert losses.settle([]) == []


def test_a_loss_that_is_due_in_a_far_future_is_due_now(world: World, losses: SqlLosses) -> None:
    """It was written by a clock that was ahead."""
    [known] = lose(world, losses, 1)

    losses.postpone([known], due_at=world.clock() + timedelta(days=31))

    assert due(world, losses) == [known]
