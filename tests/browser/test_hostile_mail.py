"""No mail runs a script, loads anything from outside, or leaves its frame, whatever is in it (U3)."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Route

from tests.browser.chromium import window
from tests.browser.conftest import Site

LISTS = ("/admin", "/admin/messages", "/admin/quarantine", "/admin/events", "/admin/deliveries", "/admin/audit")


def test_nothing_of_a_mail_runs_or_calls_home(site: Site, browser: Browser, alice: list[Any]) -> None:
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    with window(browser, site.base, cookies=alice) as looking:
        # What the policy forbids does not come so far.
        looking.page.route(lambda url: not url.startswith(site.base), refuse)
        for path in (*LISTS, *(f"/admin/messages/{number}" for number in site.message_ids())):
            assert looking.open(path) == 200, path
            assert "owned" not in looking.page.title()
        # Of a refused script or picture the browser says so; that it was refused is what is wanted.
        complaints = [
            said
            for said in looking.complaints
            if "Content Security Policy" not in said and "sandbox" not in said.lower()
        ]

    assert complaints == []
    assert asked == []


def test_mail_is_readable_in_its_frame(site: Site, browser: Browser, alice: list[Any]) -> None:
    (hostile,) = [one for one in site.stack.messages() if one.subject == "Hostile html"]
    with window(browser, site.base, cookies=alice) as looking:
        looking.open(f"/admin/messages/{hostile.id}")
        frame = looking.page.frame_locator("iframe.mail")

        assert frame.get_by_text("Visible words of the mail.").is_visible()
        assert looking.page.locator("iframe.mail").get_attribute("sandbox") is not None


def test_attachments_come_as_downloads_that_nothing_opens(site: Site, browser: Browser, alice: list[Any]) -> None:
    (hostile,) = [one for one in site.stack.messages() if one.subject == "Hostile filename-0"]
    with window(browser, site.base, cookies=alice) as looking:
        looking.open(f"/admin/messages/{hostile.id}")
        place = looking.page.locator("a[href*='/attachments/']").first.get_attribute("href")
        answer = looking.page.request.get(f"{site.base}{place}")

        assert answer.headers["content-disposition"].startswith("attachment")
        assert ".." not in answer.headers["content-disposition"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "html" not in answer.headers["content-type"]


def test_a_mails_own_pictures_are_seen(site: Site, browser: Browser, alice: list[Any]) -> None:
    """The sandboxed frame has no origin, and so no cookie and no right to ask us for anything."""
    (message,) = [one for one in site.stack.messages() if one.subject == "Hostile picture"]
    with window(browser, site.base, cookies=alice) as looking:
        looking.open(f"/admin/messages/{message.id}")
        frame = looking.page.frame(url=f"{site.base}/admin/messages/{message.id}/frame")
        assert frame
        widths = frame.evaluate("[...document.images].map(image => image.naturalWidth)")

        assert widths == [3, 0]
        assert looking.page.evaluate("document.cookie") == ""
