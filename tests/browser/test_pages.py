"""Every page, in both languages and themes, on three sizes of screen: whole, reachable, light, no error (U8, U9)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import weight, window
from tests.browser.conftest import Site

LIMIT = 150_000
PAGES = (
    "/admin",
    "/admin/workers",
    "/admin/messages",
    "/admin/quarantine",
    "/admin/events",
    "/admin/deliveries",
    "/admin/workflows",
    "/admin/replay",
    "/admin/settings",
    "/admin/settings/oauth",
    "/admin/settings/rules",
    "/admin/settings/rules/new",
    "/admin/settings/handlers",
    "/admin/settings/handlers?add=webhook",
    "/admin/settings/handlers?add=redis-stream",
    "/admin/settings/handlers/crm",
    "/admin/settings/handlers/crm/edit",
    "/admin/settings/handlers/crm/remove",
    "/admin/settings/workflows",
    "/admin/settings/workflows?add=1",
    "/admin/settings/workflows/ticket",
    "/admin/settings/workflows/ticket/edit",
    "/admin/settings/workflows/ticket/remove",
    "/admin/audit",
    "/admin/users",
    "/admin/tokens",
    "/admin/profile",
    "/api/docs",
)
# Each pair of language, theme and size is there once.
LOOKS = (
    ("en", "light", "desktop"),
    ("en", "dark", "tablet"),
    ("en", "dark", "phone"),
    ("zh-CN", "dark", "desktop"),
    ("zh-CN", "light", "tablet"),
    ("zh-CN", "light", "phone"),
)


def details(site: Site) -> list[str]:
    """A page of one thing, of each kind."""
    # Not a hostile mail: a browser says of each thing that it was not allowed to do there.
    event = next(event for event in site.stack.concord.outbox.events(limit=100) if event.subject.startswith("Order"))
    run = site.stack.concord.outbox.runs(limit=1)[0]
    rule = site.stack.concord.rulebook.rules()[0]
    return [
        f"/admin/messages/{event.message_id}",
        f"/admin/events/{event.id}",
        f"/admin/workflows/{run.id}",
        f"/admin/deliveries/{site.stack.concord.outbox.deliveries(limit=1)[0].id}",
        f"/admin/settings/accounts/{site.account.id}",
        f"/admin/settings/accounts/{site.account.id}/edit",
        "/admin/settings/new",
        "/admin/settings/form?preset=gmail",
        "/admin/settings/import",
        f"/admin/settings/rules/{rule.id}",
        f"/admin/settings/rules/{rule.id}/remove",
        "/admin/workers/add",
        "/admin/workers/worker@mail",
        "/admin/workers/worker@mail/config",
        "/admin/users/bob",
        "/api/docs/workers",
    ]


def name_of(path: str) -> str:
    return re.sub(r"[^a-z]+", "-", path.lower()).strip("-")


@pytest.mark.parametrize(("language", "theme", "size"), LOOKS)
def test_every_page_is_whole(
    site: Site, browser: Browser, alice: list[Any], language: str, theme: str, size: str
) -> None:
    troubles = []
    with window(browser, site.base, language=language, theme=theme, size=size, cookies=alice) as looking:
        for path in (*PAGES, *details(site), "/admin/nowhere"):
            status = looking.open(path)
            looking.page.wait_for_timeout(50)
            looking.shoot(f"{language}-{theme}-{size}/{name_of(path)}")
            if status != (404 if path.endswith("nowhere") else 200):
                troubles.append(f"{path}: status {status}")
            if looking.page.locator("html").get_attribute("lang") != language:
                troubles.append(f"{path}: in another language")
            if looking.is_too_wide():
                troubles.append(f"{path}: wider than the screen")
            if size != "tablet":
                troubles += [f"{path}: {barrier}" for barrier in looking.barriers()]
        troubles += [said for said in looking.complaints if "nowhere" not in said]

    assert not troubles, "\n".join(troubles)


def test_first_visit_to_any_page_is_light(site: Site, browser: Browser, alice: list[Any]) -> None:
    """150 KB in all, uncompressed as the service sends it."""
    weights = {path: weight(browser, site.base, path, alice) for path in (*PAGES, *details(site))}

    assert {path: octets for path, octets in weights.items() if octets > LIMIT} == {}


def test_everything_can_be_reached_and_read_without_javascript(site: Site, browser: Browser, alice: list[Any]) -> None:
    with window(browser, site.base, cookies=alice, javascript=False) as looking:
        for path in (*PAGES, *details(site)):
            assert looking.open(path) == 200
            assert looking.page.locator("h1").first.is_visible(), path


def test_times_are_in_the_browsers_zone(site: Site, browser: Browser, alice: list[Any]) -> None:
    with window(browser, site.base, cookies=alice) as looking:
        looking.open("/admin/tokens")
        looking.open("/admin/profile")
        time = looking.page.locator("time:not([data-ago])").first

        assert "UTC" not in (time.text_content() or "UTC")


def test_keyboard_reaches_the_content_first(site: Site, browser: Browser, alice: list[Any]) -> None:
    with window(browser, site.base, cookies=alice) as looking:
        looking.open("/admin/users")
        looking.page.keyboard.press("Tab")
        looking.page.keyboard.press("Enter")

        assert looking.page.evaluate("document.activeElement.id") == "main"
