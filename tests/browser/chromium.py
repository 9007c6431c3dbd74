"""Debian's Chromium, driven by Playwright: what a page said, weighed, and looked like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Playwright

ROOT: Final = Path(__file__).parents[2]
OUTPUT: Final = Path(__file__).parent / "output"
AXE: Final = ROOT / ".run/npm/node_modules/axe-core/axe.min.js"
BINARY: Final = "/usr/bin/chromium"
_QUIET: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES: Final = {"desktop": (1280, 900), "tablet": (820, 1100), "phone": (390, 844)}
# What axe calls worth mending now; the rest are its hints.
_GRAVE: Final = ("serious", "critical")


@dataclass
class Window:
    """A page, and all that went wrong in it."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Write down every error, refused script and dialog."""
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("dialog", self._refuse)
        self.page.on("console", self._console)

    def _console(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(f"{self.page.url}: {said.text}")

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(f"{self.page.url}: dialog {dialog.message}")
        dialog.dismiss()

    def open(self, path: str) -> int:
        """Go there; the status."""
        answer = self.page.goto(f"{self.base}{path}", wait_until="load")
        assert answer
        return answer.status

    def sign_in(self, name: str, password: str) -> None:
        """By the form, as people do."""
        self.open("/admin/login")
        self.page.locator("input[name=name]").fill(name)
        self.page.locator("input[name=password]").fill(password)
        self.page.locator("form[action='/admin/login'] button").click()
        self.page.wait_for_load_state("load")

    def is_too_wide(self) -> bool:
        """Whether one must scroll sideways to read it."""
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
        return wide

    def barriers(self) -> list[str]:
        """What keeps somebody out, as axe finds it: rule, and the first places."""
        self.page.evaluate(f"{AXE.read_text(encoding='utf-8')}; undefined")
        found: list[dict[str, Any]] = self.page.evaluate("axe.run().then(result => result.violations)")
        return [
            f"{one['id']} ({one['impact']}): {[node['target'] for node in one['nodes'][:3]]} "
            f"{one['nodes'][0].get('failureSummary', '')}"
            for one in found
            if one["impact"] in _GRAVE
        ]

    def shoot(self, name: str) -> Path:
        """A picture of the whole page."""
        place = OUTPUT / f"{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=place, full_page=True, animations="disabled")
        return place


def launch(playwright: Playwright) -> Browser:
    """One browser; each window has a context of its own."""
    return playwright.chromium.launch(executable_path=BINARY, args=list(_QUIET))


@contextmanager
def window(
    browser: Browser,
    base: str,
    *,
    language: str = "en",
    theme: str = "light",
    size: str = "desktop",
    javascript: bool = True,
    cookies: list[Any] | None = None,
    trusting: bool = False,
) -> Iterator[Window]:
    """A window of a fresh profile; a trusting one takes any certificate, the test provider's say."""
    width, height = SIZES[size]
    context = browser.new_context(
        locale=language,
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": height},
        java_script_enabled=javascript,
        timezone_id="Asia/Shanghai" if language.startswith("zh") else "Europe/Berlin",
        reduced_motion="reduce",
        ignore_https_errors=trusting,
    )
    if cookies:
        context.add_cookies(cookies)
    page = context.new_page()
    made = Window(page, base)
    made.listen()
    try:
        yield made
    finally:
        context.close()


def weight(browser: Browser, base: str, path: str, cookies: list[Any]) -> int:
    """Octets that a first visit loads: the page and all that it asks for, as they are sent."""
    with window(browser, base, cookies=cookies) as looking:
        session = looking.page.context.new_cdp_session(looking.page)
        session.send("Network.enable")
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        looking.open(path)
        looking.page.wait_for_timeout(300)
        return sum(sizes)
