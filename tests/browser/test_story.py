"""The story that the admin site is for, in both languages: sign in, add a mailbox, test it, start, watch mail arrive.

Real daemons under supervisord, from the very files that the package installs; real Dovecot, real Redis, Chromium.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from concord.adapters.sql import schema
from concord.adapters.supervisord_programs import write_programs
from concord.services.identity import Identity
from tests.acceptance.test_supervisor_stack import SET, installed_supervisord
from tests.browser.chromium import Window, window
from tests.browser.conftest import answers
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.openid import OpenIdServer
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
    provider: OpenIdServer
    base: str

    def all_run(self) -> bool:
        return all(self.supervisord.is_running(name) for name in SET)

    def none_runs(self) -> bool:
        return not any(self.supervisord.pid(name) for name in SET)


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdServer]:
    """It shows a page of consent, as providers do."""
    with OpenIdServer(asks=True) as made:
        yield made


@pytest.fixture(scope="module")
def mail_server(provider: OpenIdServer) -> Iterator[Dovecot]:
    """It takes passwords, and the provider's tokens."""
    with Dovecot(tokens=provider) as made:
        yield made


@pytest.fixture(scope="module")
def running(mail_server: Dovecot, provider: OpenIdServer) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="concord-story-") as folder, RedisServer() as redis:
        place, port = Path(folder), free_port()
        run = place / "run"
        settings: dict[str, Any] = {
            "service": {"supervisor": "supervisord", "run_directory": str(run)},
            "flower": {"port": free_port()},
            "admin": {"port": port, "base_url": f"http://localhost:{port}"},
            "oauth": {"ca_file": str(provider.ca_file), "allow_networks": ["127.0.0.0/8", "::1/128"]},
        }
        with Stack(place, redis_url=redis.url, **settings) as stack:
            for made in (run, place / "workers", place / "supervisor.d"):
                made.mkdir()
            write_programs(["poll", "mail", "deliver"], place / "workers.conf")
            schema.upgrade(stack.concord.engine)
            for name, role in PEOPLE.items():
                Identity(stack.concord).add_user(name, role, PASSWORD, by=SHELL)
            with installed_supervisord(stack, place, run) as supervisord:
                made_running = Running(stack, supervisord, mail_server, provider, f"http://localhost:{port}")
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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_mailbox_that_a_provider_opens_until_it_does_no_longer(
    running: Running, browser: Browser, language: str
) -> None:
    """A2, U2: an app, a mailbox, the sign-in, mail; then the provider takes it back, and the pages say so."""
    user = f"support-{language[:2]}@example.com"
    running.dovecot.add_user(user)
    with window(browser, running.base, language=language, trusting=True) as looking:
        looking.page.set_default_timeout(30_000)
        looking.sign_in("alice", PASSWORD)
        place = _add_oauth_mailbox(looking, running, user, language)
        _sign_in_at_provider(looking, language)
        _one_more_mail(running, user, f"By token {language}")
        running.provider.revoke(user)
        running.dovecot.kick(user)
        looking.open(place)
        looking.page.locator(f"form[action='{place}/poll'] button").click()
        expect(looking.page.locator("#state .badge.bad")).to_be_visible(timeout=LONG)
        looking.open(place)
        expect(looking.page.locator("#oauth-title ~ .note.bad")).to_be_visible()
        assert looking.page.locator("#state .todo").count() == 1
        looking.shoot(f"story-{language}/11-taken-back")
        _sign_in_at_provider(looking, language)
        _one_more_mail(running, user, f"By another token {language}")
        assert [said for said in looking.complaints if not said.startswith(running.provider.issuer)] == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_mailbox_whose_password_was_changed_says_so_and_is_mended(
    running: Running, browser: Browser, language: str
) -> None:
    """U2, P4: what, why, and what to do; then it is done, on the pages alone."""
    mailbox = f"orders-{language[:2]}"
    user = running.dovecot.add_user(mailbox)
    with window(browser, running.base, language=language) as looking:
        looking.page.set_default_timeout(30_000)
        looking.sign_in("alice", PASSWORD)
        _add_mailbox(looking, running, mailbox, language)
        place = urlsplit(looking.page.url).path
        running.dovecot.add_user(user, "another-password")
        running.dovecot.kick(user)
        looking.page.locator(f"form[action='{place}/poll'] button").click()
        expect(looking.page.locator("#state .badge.bad")).to_be_visible(timeout=LONG)
        assert looking.page.locator("#state .todo").count() == 1
        looking.shoot(f"story-{language}/20-refused")
        looking.open("/admin")
        expect(looking.page.get_by_role("link", name=mailbox).first).to_be_visible()
        looking.shoot(f"story-{language}/21-overview")
        looking.open(f"{place}/edit")
        looking.page.locator("[name=password]").fill("another-password")
        looking.page.locator("form.card button.primary").click()
        looking.page.wait_for_url(f"**{place}")
        _one_more_mail(running, user, f"After the change {language}")
        looking.open(place)
        expect(looking.page.locator("#state .badge.good")).to_be_visible(timeout=LONG)
        looking.shoot(f"story-{language}/22-mended")
        assert looking.complaints == []


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
    page.locator("details:has([name=authority]) summary").click()
    page.locator("[name=authority]").select_option("pasted")
    page.locator("[name=ca_pem]").fill(Path(running.dovecot.ca_file).read_text(encoding="ascii"))
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


def _add_oauth_mailbox(looking: Window, running: Running, user: str, language: str) -> str:
    """The app is made once for both languages. The mailbox's page."""
    page = looking.page
    looking.open("/admin/settings/oauth")
    app = f"office-{language[:2]}"
    page.locator("[name=name]").fill(app)
    page.locator("[name=provider]").select_option("other")
    page.locator("[name=client_id]").fill("concord")
    page.locator("[name=secret]").fill("top-secret")
    page.locator("[name=issuer]").fill(running.provider.issuer)
    page.locator("form[action='/admin/settings/oauth'] button.primary").click()
    expect(page.get_by_role("link", name=app)).to_be_visible()
    looking.shoot(f"story-{language}/8-app")
    looking.open("/admin/settings/form?preset=generic")
    page.locator("[name=name]").fill(user.partition("@")[0])
    page.locator("[name=host]").fill("localhost")
    page.locator("[name=port]").fill(str(running.dovecot.imaps_port))
    page.locator("details:has([name=authority]) summary").click()
    page.locator("[name=authority]").select_option("pasted")
    page.locator("[name=ca_pem]").fill(Path(running.dovecot.ca_file).read_text(encoding="ascii"))
    page.locator("[name=user]").fill(user)
    page.locator("[name=auth]").select_option("oauth2")
    page.locator("[name=oauth_client]").select_option(app)
    page.locator("[name=start]").select_option("all")
    page.locator("form.card button.primary").click()
    page.wait_for_url("**/admin/settings/accounts/*")
    looking.shoot(f"story-{language}/9-nobody-signed-in")
    return urlsplit(page.url).path


def _sign_in_at_provider(looking: Window, language: str) -> None:
    page = looking.page
    place = urlsplit(page.url).path
    page.locator(f"form[action='{place}/sign-in'] button").first.click()
    page.wait_for_url("**/authorize?*")
    page.locator("#allow").click()
    page.wait_for_url(f"**{place}")
    page.locator(f"form[action='{place}/test'] button").click()
    expect(page.locator("#trial h2 .badge.good")).to_be_visible(timeout=LONG)
    looking.shoot(f"story-{language}/10-signed-in")


def _one_more_mail(running: Running, user: str, subject: str) -> None:
    running.dovecot.deliver_lmtp(user, mail(subject))
    stack = running.stack
    assert eventually(
        lambda: any(event.subject == subject for event in stack.concord.outbox.events(limit=500)), within=90
    ), stack.log("celery-worker")


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
