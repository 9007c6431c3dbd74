"""No mail runs a script, loads anything from outside, or leaves its frame, whatever is in it (U3)."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser

from tests.browser.chromium import window
from tests.browser.conftest import Site

LISTS = ("/admin", "/admin/messages", "/admin/quarantine", "/admin/events", "/admin/deliveries", "/admin/audit")


def test_nothing_of_a_mail_runs_or_calls_home(site: Site, browser: Browser, alice: list[Any]) -> None:
    asked: list[str] = []
    with window(browser, site.base, cookies=alice) as looking:
        looking.page.on("request", lambda request: asked.append(request.url))
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
    assert [url for url in asked if not url.startswith((site.base, "data:", "about:", "blob:"))] == []


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
