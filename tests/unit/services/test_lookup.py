"""What is copied into the search box from a log, a receiver or a mail program is found by its index."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from concord.adapters.sql.browsing import SqlLists
from concord.bootstrap import Concord
from concord.services.lookup import Named, named
from tests.fakes.database import memory_database
from tests.sql_world import World, digest, processed, seen


@pytest.fixture
def world() -> World:
    return World(memory_database())


def asked(world: World, text: str) -> Named:
    parts: Any = SimpleNamespace(ledger=world.ledger, outbox=world.outbox, lists=SqlLists(world.engine))
    return named(cast("Concord", parts), text)


def test_numbers_ids_and_digests_name_messages(world: World) -> None:
    refs = world.record([seen(801), seen(802)])
    [claim] = world.ledger.claim([refs[0].id], until=world.clock())
    world.ledger.finish([processed(claim)])
    first, second = (ref.id for ref in refs)

    def found(text: str) -> tuple[list[int], bool]:
        answer = asked(world, text)
        return [message.id for message in answer.messages], answer.only

    assert found(str(second)) == ([second], False)
    assert found(f" #{second} ") == ([second], True)
    assert found(str(claim.message.event_id)) == ([first], True)
    assert found(claim.message.event_id.hex.upper()) == ([first], True)
    assert found(digest(802).upper()) == ([second], True)
    assert found("<802@example.com>") == ([second], True)
    assert found("802@example.com") == ([second], False)


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("", False),
        ("invoice", False),
        ("99999", False),
        ("9" * 30, False),
        ("#99999", True),
        ("alice@example.com", False),
        ("a b@c", False),
        ("00000000-0000-0000-0000-000000000000", True),
        ("f" * 64, True),
        ("<no\x00@example.com>", True),
    ],
)
def test_what_names_nothing_finds_nothing(world: World, text: str, only: bool) -> None:  # noqa: FBT001 - a parameter of the test
    world.record([seen(801)])

    assert asked(world, text) == Named(only=only)
