"""Due times: on a grid, once for each point, once after an outage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concord.adapters.grid import FIRST_WITHIN, next_due, offset_of

moments = st.floats(min_value=1.6e9, max_value=2.4e9)
intervals = st.integers(min_value=1, max_value=30 * 86_400)
offsets = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(last=moments, interval=intervals, offset=offsets, late=st.floats(min_value=0, max_value=10_000_000))
def test_next_run_is_on_the_grid_within_one_interval(last: float, interval: int, offset: float, late: float) -> None:
    """P1: no drift, however late an entry really ran."""
    due = next_due(last + late, last, interval, offset)

    assert last < due <= last + interval + 1e-3
    assert abs((due - offset * interval) / interval - round((due - offset * interval) / interval)) * interval < 1e-3


@given(last=moments, interval=intervals, offset=offsets, missed=st.integers(min_value=1, max_value=100_000))
def test_outage_makes_an_entry_due_once(last: float, interval: int, offset: float, missed: int) -> None:
    """P1: missed points are covered by one run."""
    now = last + missed * interval

    first = next_due(now, last, interval, offset)
    second = next_due(now, now, interval, offset)

    assert first <= now + 1e-3
    assert second > now


@given(now=moments, interval=intervals, offset=offsets)
def test_new_entry_is_due_within_a_minute(now: float, interval: int, offset: float) -> None:
    assert now < next_due(now, None, interval, offset) <= now + min(interval, FIRST_WITHIN) + 1e-3


@given(now=moments, interval=intervals, offset=offsets, ahead=st.floats(min_value=0, max_value=1e8))
def test_clock_set_back_delays_two_intervals_at_most(now: float, interval: int, offset: float, ahead: float) -> None:
    assert next_due(now, now + ahead, interval, offset) <= now + 2 * interval + 1e-3


@given(point=moments, interval=intervals, offset=offsets, behind=st.floats(min_value=1e-4, max_value=0.9))
def test_slower_clock_of_a_second_host_fires_no_point_twice(
    point: float, interval: int, offset: float, behind: float
) -> None:
    """O4: A fired at `point`; B, whose clock is a little behind, takes over."""
    fired = next_due(point, point, interval, offset)

    again = next_due(fired - behind, fired, interval, offset)

    assert again > fired


def test_offsets_spread_a_thousand_accounts_evenly() -> None:
    """P1: accounts do not all fire together."""
    tenths = [0] * 10
    for account in range(1000):
        tenths[int(offset_of(f"poll:{account}") * 10)] += 1

    assert min(tenths) > 60
    assert max(tenths) < 140
