"""How messages are cut into tasks."""

from __future__ import annotations

from concord.adapters.queue import chunks
from concord.adapters.task_names import BEHIND, LEVEL, URGENT, step_key
from concord.model.account import Priority
from concord.model.message import MessageRef


def ref(number: int, priority: Priority = Priority.NORMAL, size: int = 100) -> MessageRef:
    return MessageRef(id=number, priority=priority, size=size)


def test_urgent_messages_travel_alone_and_first() -> None:
    """P10."""
    waiting = [ref(1), ref(2, Priority.HIGH), ref(3, Priority.LOW), ref(4, Priority.HIGH), ref(5)]

    cut = list(chunks(waiting, 50, 10_000))

    assert cut == [(URGENT, [2]), (URGENT, [4]), (LEVEL, [1, 5]), (BEHIND, [3])]


def test_chunk_ends_at_its_number_of_messages() -> None:
    cut = list(chunks([ref(n) for n in range(5)], 2, 10_000))

    assert [ids for _, ids in cut] == [[0, 1], [2, 3], [4]]


def test_chunk_ends_before_its_bytes_are_exceeded() -> None:
    cut = list(chunks([ref(n, size=250) for n in range(5)], 50, 1000))

    assert [ids for _, ids in cut] == [[0, 1, 2, 3], [4]]


def test_message_over_a_quarter_chunk_travels_alone() -> None:
    cut = list(chunks([ref(1), ref(2, size=251), ref(3)], 50, 1000))

    assert sorted(ids for _, ids in cut) == [[1, 3], [2]]


def test_suspect_travels_alone() -> None:
    """P16: whoever may have killed a worker harms no neighbour."""
    suspect = MessageRef(id=2, priority=Priority.NORMAL, size=1, suspect=True)

    cut = list(chunks([ref(1), suspect, ref(3)], 50, 1000))

    assert sorted(ids for _, ids in cut) == [[1, 3], [2]]


def test_urgent_message_of_no_size_travels_alone() -> None:
    cut = list(chunks([ref(1, Priority.HIGH, 0), ref(2, Priority.HIGH, 0)], 50, 1000))

    assert [ids for _, ids in cut] == [[1], [2]]


def test_nothing_waiting_makes_no_task() -> None:
    assert list(chunks([], 50, 1000)) == []


def test_first_step_is_the_queue_itself() -> None:
    assert step_key("email", URGENT) == "email"
    assert step_key("email", LEVEL) != step_key("email", BEHIND)
