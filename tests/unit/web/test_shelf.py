"""What one page leaves for the next."""

from __future__ import annotations

from concord.web.shelf import Shelf

ANN, BOB = 1, 2


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_thing_is_had_by_its_name_and_by_its_owner_only() -> None:
    shelf = Shelf[str](most=3)
    name = shelf.put(ANN, "list")

    assert shelf.get(ANN, name) == "list"
    assert shelf.get(BOB, name) is None
    assert shelf.get(ANN, "another name") is None


def test_a_thing_is_gone_after_a_while() -> None:
    clock = Clock()
    shelf = Shelf[str](most=3, seconds=10, clock=clock)
    name = shelf.put(ANN, "list")

    clock.time = 10

    assert shelf.get(ANN, name) is None


def test_the_oldest_of_an_owner_gives_way() -> None:
    shelf = Shelf[int](most=2)
    others = shelf.put(BOB, 0)
    names = [shelf.put(ANN, number) for number in range(3)]

    assert [shelf.get(ANN, name) for name in names] == [None, 1, 2]
    assert shelf.get(BOB, others) == 0


def test_what_is_dropped_is_gone_and_only_its_owner_drops_it() -> None:
    shelf = Shelf[str](most=2)
    name = shelf.put(ANN, "list")

    shelf.drop(BOB, name)
    assert shelf.get(ANN, name)

    shelf.drop(ANN, name)
    assert shelf.get(ANN, name) is None
