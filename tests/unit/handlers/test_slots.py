"""How many calls go to one host at a time."""

from __future__ import annotations

import pytest

from concord.errors import HandlerError
from concord.handlers.slots import HostSlots


def test_a_full_host_is_busy_and_blames_nobody() -> None:
    slots = HostSlots()

    with slots.hold("a.example", 1), pytest.raises(HandlerError) as caught, slots.hold("a.example", 1):
        pytest.fail("a second call was let through")

    assert caught.value.facts["busy"] is True
    assert caught.value.facts["retry_after"] == 2


def test_other_hosts_are_not_in_the_way() -> None:
    slots = HostSlots()

    with slots.hold("a.example", 1), slots.hold("b.example", 1):
        pass


def test_a_place_is_free_again_after_a_failure() -> None:
    slots = HostSlots()

    with pytest.raises(ValueError, match="trouble"), slots.hold("a.example", 1):
        raise ValueError("trouble")

    with slots.hold("a.example", 1):
        pass
