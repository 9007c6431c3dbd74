"""The story that the admin site is for, in both languages: sign in, add a mailbox, test it, start, watch mail arrive.

Real daemons under supervisord, from the very files that the package installs; real Dovecot, real Redis, Chromium.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from concord.adapters.sql import schema
from concord.adapters.supervisord_programs import write_programs
from concord.services.identity import Identity
from tests.acceptance.test_supervisor_stack import SET, SHIPPED, moved_text
from tests.browser.chromium import Window, window
from tests.browser.conftest import answers
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.servers.supervisord import Supervisord
from tests.waiting import eventually
from tests.web_world import PASSWORD, PEOPLE, SHELL

LONG = 90_000


@dataclass(frozen=True)
class Running:
    """The whole set, and its admin site."""

    stack: Stack
    supervisord: Supervisord
    dovecot: Dovecot
    base: str

    def all_run(self) -> bool:
        return all(self.supervisord.is_running(name) for name in SET)

    def none_runs(self) -> bool:
        return not any(self.supervisord.pid(name) for name in SET)


@pytest.fixture(scope="module")
def running(dovecot: Dovecot) -> Iterator[Running]:
    dovecot.start()
    with tempfile.TemporaryDirectory(prefix="concord-story-") as folder, RedisServer() as redis:
        place, port = Path(folder), free_port()
        run = place / "run"
        settings: dict[str, Any] = {
            "service": {"supervisor": "supervisord", "run_directory": str(run)},
            "flower": {"port": free_port()},
            "admin": {"port": port},
        }
        with Stack(place, redis_url=redis.url, **settings) as stack:
            for made in (run, place / "workers", place / "supervisor.d"):
                made.mkdir()
            write_programs(["poll", "mail"], place / "workers.conf")
            for source, target in (
                ("supervisord.conf", "supervisord.conf"),
                ("concord.conf", "supervisor.d/concord.conf"),
            ):
                text = (SHIPPED / source).read_text(encoding="utf-8")
                (place / target).write_text(moved_text(text, place), encoding="utf-8")
            schema.upgrade(stack.concord.engine)
            for name, role in PEOPLE.items():
                Identity(stack.concord).add_user(name, role, PASSWORD, by=SHELL)
            with Supervisord(place / "supervisord.conf", run, stack.env) as supervisord:
                made_running = Running(stack, supervisord, dovecot, f"http://localhost:{port}")
                assert eventually(made_running.all_run, within=60)
                assert eventually(lambda: answers(port), within=60), stack.log("concord-admin")
                yield made_running


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_from_signing_in_to_mail_that_arrives(running: Running, browser: Browser, language: str) -> None:
    """W3, U1, U2, U3, M4."""
    mailbox = f"sales-{language[:2]}"
    user = running.dovecot.add_user(mailbox)
    running.dovecot.deliver(user, mail(f"Hello {language}"))
    with window(browser, running.base, language=language) as looking:
        looking.page.set_default_timeout(30_000)
        looking.sign_in("alice", PASSWORD)
        _stop(looking, running)
        _add_mailbox(looking, running, mailbox, language)
        _start(looking, running, language)
        _mail_arrives(looking, running, language, user)
        _change_config(looking, running, language)
        assert [said for said in looking.complaints if "EventSource" not in said] == []


def _stop(looking: Window, running: Running) -> None:
    assert looking.open("/admin/workers") == 200, running.stack.log("concord-admin")[-4000:]
    looking.shoot("story-workers")
    looking.page.locator("form[action='/admin/workers/service/stop'] button").first.click()
    assert eventually(running.none_runs, within=90)
    looking.open("/admin/workers")
    expect(looking.page.locator("form[action='/admin/workers/service/start'] button").first).to_be_visible(timeout=LONG)


def _add_mailbox(looking: Window, running: Running, name: str, language: str) -> None:
    page = looking.page
    looking.open("/admin/settings/form?preset=generic")
    page.locator("[name=name]").fill(name)
    page.locator("[name=host]").fill("localhost")
    page.locator("[name=port]").fill(str(running.dovecot.imaps_port))
    page.locator("details:has([name=ca_file]) summary").click()
    page.locator("[name=ca_file]").fill(running.dovecot.ca_file)
    page.locator("[name=user]").fill(name)
    page.locator("[name=password]").fill(running.dovecot.passwords[name])
    page.locator("[name=start]").select_option("all")
    page.locator("button[formaction='/admin/settings/try']").click()
    expect(page.locator("#trial li.good")).to_have_count(6, timeout=LONG)
    expect(page.locator("#trial h2 .badge.good")).to_be_visible(timeout=LONG)
    looking.shoot(f"story-{language}/1-tested")
    page.locator("form.card button.primary").click()
    page.wait_for_url("**/admin/settings/accounts/*")
    looking.shoot(f"story-{language}/2-added")


def _start(looking: Window, running: Running, language: str) -> None:
    looking.open("/admin/workers")
    looking.page.locator("form[action='/admin/workers/service/start'] button").first.click()
    looking.page.wait_for_url("**/admin/workers/jobs/*")
    looking.shoot(f"story-{language}/3-starting")
    expect(looking.page.locator("main .badge.good").first).to_be_visible(timeout=LONG)
    looking.shoot(f"story-{language}/4-started")
    assert running.all_run()


def _mail_arrives(looking: Window, running: Running, language: str, user: str) -> None:
    running.dovecot.deliver(user, mail(f"Order of today {language}"))
    stack = running.stack
    assert eventually(
        lambda: any(event.subject == f"Order of today {language}" for event in stack.concord.outbox.events(limit=500)),
        within=90,
    ), stack.log("celery-worker")
    looking.open("/admin/messages")
    looking.shoot(f"story-{language}/5-messages")
    looking.page.get_by_role("link", name=f"Order of today {language}").first.click()
    expect(looking.page.locator("h1")).to_contain_text(f"Order of today {language}")
    looking.shoot(f"story-{language}/6-message")


def _change_config(looking: Window, running: Running, language: str) -> None:
    looking.open("/admin/workers/worker@mail/config")
    looking.page.locator("[name=concurrency]").first.fill("3")
    looking.page.locator("form:has([name=concurrency]) button.primary").first.click()
    looking.page.wait_for_load_state("load")
    looking.shoot(f"story-{language}/7-configured")
    assert running.stack.folder.joinpath("workers/mail.json").read_text(encoding="utf-8").count("3") >= 1
