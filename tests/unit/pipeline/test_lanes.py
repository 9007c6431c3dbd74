"""Deliveries that wait in a process: by priority, accounts in turn, and a share of the threads for each handler."""

from __future__ import annotations

from concord.model.account import Priority
from concord.model.delivery import OutboxRef
from concord.pipeline.lanes import Lanes


def ref(
    number: int, account: str = "office", *, priority: Priority = Priority.NORMAL, suspect: bool = False
) -> OutboxRef:
    return OutboxRef(id=number, lane="slow", account=account, priority=priority, suspect=suspect)


def entered(lanes: Lanes) -> Lanes:
    assert lanes.enter("slow")
    return lanes


def order(lanes: Lanes) -> list[int]:
    """All that waits, as one thread would take it, one by one."""
    found: list[int] = []
    while taken := lanes.take("slow", 1):
        found += [one.id for one in taken]
    return found


def test_urgent_one_goes_before_a_thousand() -> None:
    lanes = Lanes(1)
    lanes.add(ref(number) for number in range(1000))
    lanes.add([ref(2000, priority=Priority.LOW), ref(2001, priority=Priority.HIGH)])

    taken = order(entered(lanes))

    assert (taken[0], taken[-1]) == (2001, 2000)


def test_accounts_take_turns() -> None:
    """One account's 600 mails do not make another's wait for all of them."""
    lanes = Lanes(1)
    lanes.add(ref(number, "burst") for number in range(600))
    lanes.add([ref(1000, "quiet"), ref(1001, "quiet")])

    assert order(entered(lanes))[:4] == [0, 1000, 1, 1001]


def test_lane_has_its_share_of_the_threads_and_no_more() -> None:
    lanes = Lanes(2)
    lanes.add(ref(number) for number in range(10))

    assert [lanes.enter("slow") for _ in range(3)] == [True, True, False]
    lanes.leave("slow")
    assert lanes.enter("slow")


def test_nobody_enters_where_nothing_waits() -> None:
    assert not Lanes(2).enter("slow")


def test_place_is_free_once_nothing_waits() -> None:
    lanes = Lanes(1)
    lanes.add([ref(1)])
    entered(lanes)
    assert [one.id for one in lanes.take("slow", 5)] == [1]
    assert lanes.take("slow", 5) == []

    lanes.add([ref(2)])

    assert lanes.enter("slow")


def test_what_waits_already_is_not_added_twice() -> None:
    lanes = Lanes(1)
    lanes.add([ref(1), ref(1)])
    lanes.add([ref(1)])

    assert order(entered(lanes)) == [1]


def test_suspect_one_is_taken_alone() -> None:
    lanes = Lanes(1)
    lanes.add([ref(1), ref(2, suspect=True), ref(3)])
    entered(lanes)

    taken = [[one.id for one in lanes.take("slow", 10)] for _ in range(3)]

    assert taken == [[1], [2], [3]]


def test_memory_has_a_bound_and_an_urgent_one_a_place_all_the_same() -> None:
    lanes = Lanes(1, most=10)
    lanes.add(ref(number) for number in range(100))
    lanes.add([ref(1000, priority=Priority.HIGH)])

    assert order(entered(lanes)) == [1000, *range(10)]
