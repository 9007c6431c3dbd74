"""The overview in a browser: plots are drawn, figures follow what happens, and both colours are the page's (U4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from concord.model.account import AccountState, AccountStatus
from concord.model.number import COUNTED, SAMPLED, floored
from tests.browser.chromium import Window, window
from tests.browser.conftest import MAILBOX, Site

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def looking(site: Site, browser: Browser, alice: list[Any]) -> Iterator[Window]:
    """The overview of a site that has done something."""
    # The site has recorded a minute itself, perhaps a later one.
    minute = max(site.stack.concord.numbers.last() or LONG_AGO, floored(datetime.now(UTC), 60) - timedelta(minutes=2))
    for ago in range(30):
        values = {COUNTED: 1.0, SAMPLED: 1.0, "mail.archived": 40 + ago, "lag.p50": 1.5, "queue.email": ago % 4}
        site.stack.concord.numbers.record(minute - timedelta(minutes=ago), values)
    with window(browser, site.base, cookies=alice) as looking:
        looking.open("/admin?span=1h")
        yield looking
    assert looking.complaints == []


def is_drawn(page: Page, plot: int) -> bool:
    """Whether the canvas has anything but emptiness on it."""
    script = """at => {
        const canvas = document.querySelectorAll('.plot canvas')[at];
        const seen = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return seen.some((value, index) => index % 4 === 3 && value > 0);
    }"""
    found: bool = page.evaluate(script, plot)
    return found


def test_plots_are_drawn_and_name_their_newest_values(looking: Window) -> None:
    throughput = looking.page.locator(".plot").first
    expect(throughput.locator("canvas")).to_be_visible()

    assert is_drawn(looking.page, 0)
    expect(throughput.locator(".u-legend")).to_contain_text("mails archived")
    expect(throughput.locator(".u-legend")).to_contain_text("40")


def test_table_under_a_plot_has_its_values(looking: Window) -> None:
    looking.page.locator("#values-throughput > summary").click()

    table = looking.page.locator("#values-throughput table")
    expect(table).to_be_visible()
    expect(table.locator("thead")).to_contain_text("mails archived")


def test_span_is_chosen_by_a_link(looking: Window) -> None:
    looking.page.get_by_role("link", name="7 days").click()

    expect(looking.page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    expect(looking.page.locator(".plot canvas").first).to_be_visible()


def test_plots_fit_a_window_that_becomes_narrow(looking: Window) -> None:
    expect(looking.page.locator(".plot canvas").first).to_be_visible()

    looking.page.set_viewport_size({"width": 390, "height": 844})

    expect(looking.page.locator(".plot canvas").first).to_be_visible()
    looking.page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth + 1")


def test_what_goes_wrong_appears_without_a_reload(looking: Window, site: Site) -> None:
    accounts = site.stack.concord.accounts
    known = accounts.get(MAILBOX)
    before = accounts.status(known.id)
    state = looking.page.locator("#state")
    expect(state).not_to_contain_text("name not found")

    accounts.set_status(known.id, AccountStatus(state=AccountState.DNS, failures=1, last_error_at=datetime.now(UTC)))

    try:
        expect(state).to_contain_text("name not found", timeout=20_000)
    finally:
        accounts.set_status(known.id, before)
    expect(state).not_to_contain_text("name not found", timeout=20_000)


def test_dark_plots_are_drawn_in_the_dark_colours(
    site: Site, browser: Browser, alice: list[Any], looking: Window
) -> None:
    colours = []
    for theme in ("light", "dark"):
        with window(browser, site.base, theme=theme, cookies=alice) as other:
            other.open("/admin?span=1h")
            marker = other.page.locator(".plot").first.locator(".u-series .u-marker").nth(1)
            expect(marker).to_be_visible()
            colours.append(marker.evaluate("one => getComputedStyle(one).borderTopColor"))

    assert colours[0] != colours[1]
