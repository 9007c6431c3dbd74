"""The pages of mailboxes (U2): what is shown, what each form does, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.errors import MailboxDownError
from concord.model.account import Account, AccountNote, AccountState, AccountStatus, AfterKind, StartKind, Tls
from concord.model.binding import of_password
from concord.model.discovery import DiscoverySource, FoundServer
from concord.model.provider import GENERIC, PROVIDERS
from concord.ports import CheckStep
from concord.web.providers import SAME_EVERYWHERE, WORDS
from tests.factories import sealed_in
from tests.fakes.discovery import MemoryDiscoverer
from tests.fakes.queue import MemoryQueue, MemorySchedule
from tests.servers.certificates import authority_pem
from tests.waiting import eventually
from tests.web_world import Browser

FORM = {
    "name": "ann",
    "host": "mail.example.org",
    "tls": "implicit",
    "user": "ann@example.org",
    "password": "sesame",
    "folders": "INBOX",
    "start": "new",
    "after": "leave",
    "priority": "normal",
    "enabled": "1",
}
LIST = "/admin/settings"
NEW = "/admin/settings/form"
PEM = authority_pem()


class ScriptedSources:
    """Mailboxes whose test goes as it is told; keeps what it was asked to test."""

    def __init__(self) -> None:
        self.tested: list[Account] = []
        self.steps = [CheckStep(name="dns", ok=True, detail="1.2.3.4", facts={"addresses": ["1.2.3.4"]})]

    def test(self, account: Account) -> Iterator[CheckStep]:
        self.tested.append(account)
        yield from self.steps


@pytest.fixture(autouse=True)
def schedule(concord: Concord) -> MemorySchedule:
    vars(concord)["schedule"] = MemorySchedule()
    found: MemorySchedule = vars(concord)["schedule"]
    return found


@pytest.fixture
def queue(concord: Concord) -> MemoryQueue:
    made = MemoryQueue()
    vars(concord)["queue"] = made
    return made


@pytest.fixture
def sources(concord: Concord) -> ScriptedSources:
    made = ScriptedSources()
    vars(concord)["sources"] = made
    return made


@pytest.fixture
def discoverer(concord: Concord) -> MemoryDiscoverer:
    made = MemoryDiscoverer()
    vars(concord)["discoverer"] = made
    return made


@pytest.fixture
def kept(concord: Concord) -> Account:
    """A mailbox that is there: its password is `sesame`."""
    account = Account(name="ann", host="mail.example.org", user="ann@example.org", interval=30)
    return concord.accounts.add(sealed_in(concord.vault, account, "sesame"))


def send(browser: Browser, place: str, page: str = NEW, **changes: Any) -> Response:
    """The form, filled in; a field of None is not sent."""
    fields = {name: value for name, value in {**FORM, **changes}.items() if value is not None}
    return browser.submit(place, page, **fields)


def password_of(concord: Concord, name: str = "ann") -> str:
    return concord.vault.unseal(concord.accounts.get(name).secret, of_password(concord.accounts.get(name)))


def place_of(account: Account, verb: str = "") -> str:
    return f"{LIST}/accounts/{account.id}{verb}"


def test_the_words_of_every_preset_are_marked_for_translation() -> None:
    said = {text for provider in (*PROVIDERS, GENERIC) for text in (provider.name, provider.login_hint) if text}

    assert said == {*WORDS, *SAME_EVERYWHERE}


# The list.


def test_without_mailboxes_the_way_to_the_first_is_shown(bob: Browser) -> None:
    page = bob.get(LIST).text

    assert "No mailboxes yet" in page
    assert 'href="/admin/settings/new"' in page


def test_the_list_says_how_each_does(bob: Browser, concord: Concord, kept: Account) -> None:
    concord.accounts.set_status(kept.id, AccountStatus(state=AccountState.AUTH_FAILED, failures=3))
    concord.accounts.reconciled(kept.id, 7)

    page = bob.get(LIST).text

    assert "login refused" in page
    assert "The server refuses the login" in page
    assert ">7<" in page


def test_the_list_is_searched_narrowed_and_paged(bob: Browser, concord: Concord) -> None:
    for number in range(60):
        concord.accounts.add(Account(name=f"box-{number:02}", host="mail.example.org", user=f"user{number}"))
    concord.accounts.save(replace(concord.accounts.get("box-07"), enabled=False))

    first = bob.get(LIST).text
    assert "box-49" in first
    assert "box-50" not in first
    assert "after=box-49" in first
    assert "box-50" in bob.get(LIST, params={"after": "box-49"}).text
    off = bob.get(LIST, params={"show": "off"}).text
    assert "box-07" in off
    assert "box-08" not in off
    assert "box-33" in bob.get(LIST, params={"search": "user33"}).text
    assert "No mailbox fits" in bob.get(LIST, params={"search": "nobody"}).text


def test_a_name_of_markup_is_shown_as_text(bob: Browser, concord: Concord) -> None:
    made = concord.accounts.add(Account(name="<script>alert(1)<script>", host="h.example.org", user='"><img src=x>'))

    for page in (bob.get(LIST).text, bob.get(place_of(made)).text, bob.get(place_of(made, "/edit")).text):
        assert "<script>alert" not in page
        assert "<img src=x" not in page


# One.


def test_one_mailbox_is_told_whole_but_for_its_password(bob: Browser, concord: Concord, kept: Account) -> None:
    page = bob.get(place_of(kept)).text

    assert "mail.example.org" in page
    assert "with a password" in page
    assert "30 seconds" in page
    assert "It has not been polled yet" in page
    assert "sesame" not in page
    assert concord.accounts.get("ann").secret.decode() not in page


def test_other_pages_lead_to_it_by_name(bob: Browser, kept: Account) -> None:
    assert bob.get(f"{LIST}/accounts", params={"name": "ann"}).url.path == place_of(kept)


@pytest.mark.parametrize("place", ["/999", "/999/edit", "/999/remove"])
def test_what_is_not_there_is_told_so(bob: Browser, place: str) -> None:
    assert bob.get(f"{LIST}/accounts{place}").status_code == 404


def test_polling_now_is_queued(bob: Browser, queue: MemoryQueue, kept: Account) -> None:
    answer = bob.submit(place_of(kept, "/poll"), place_of(kept))

    assert queue.forced == [kept.id]
    assert "as soon as a worker is free" in answer.text


def test_polling_without_redis_says_why_not(bob: Browser, queue: MemoryQueue, kept: Account) -> None:
    queue.down = True

    answer = bob.submit(place_of(kept, "/poll"), place_of(kept))

    assert answer.status_code == 503
    assert "Redis did not answer" in answer.text


def test_it_is_switched_off_and_on(bob: Browser, concord: Concord, schedule: MemorySchedule, kept: Account) -> None:
    assert "not polled any more" in bob.submit(place_of(kept, "/disable"), place_of(kept)).text
    assert schedule.intervals == {}

    assert "from now on" in bob.submit(place_of(kept, "/enable"), place_of(kept)).text
    assert schedule.intervals == {kept.id: 30}


def test_removing_asks_first_and_says_what_stays(bob: Browser, concord: Concord, kept: Account) -> None:
    asked = bob.get(place_of(kept, "/remove")).text
    assert "What stays" in asked
    assert concord.accounts.get("ann").enabled

    assert "is removed" in bob.submit(place_of(kept, "/remove"), place_of(kept, "/remove")).text
    assert concord.accounts.all() == []


# Adding.


def test_an_address_leads_to_its_server(bob: Browser, discoverer: MemoryDiscoverer) -> None:
    discoverer.servers["ann@example.org"] = (
        _found("imap.example.org", DiscoverySource.SRV),
        _found("mail.example.org", DiscoverySource.GUESS),
    )

    page = bob.submit("/admin/settings/find", "/admin/settings/new", address="ann@example.org").text

    assert value_of(page, "host") == "imap.example.org"
    assert value_of(page, "user") == "ann@example.org"
    assert "the domain&#39;s DNS says so" in page
    assert "host=mail.example.org" in page


def test_an_address_that_nobody_knows_still_gets_a_form(bob: Browser, discoverer: MemoryDiscoverer) -> None:
    page = bob.submit("/admin/settings/find", "/admin/settings/new", address="ann@example.net").text

    assert "Nobody knows the server" in page
    assert value_of(page, "name") == "ann@example.net"


def test_what_is_no_address_is_told_at_the_field(bob: Browser, discoverer: MemoryDiscoverer) -> None:
    answer = bob.submit("/admin/settings/find", "/admin/settings/new", address="ann at example")

    assert answer.status_code == 422
    assert "This is not a mail address" in answer.text


def test_a_preset_fills_the_form_and_says_what_it_wants(bob: Browser) -> None:
    page = bob.get(NEW, params={"preset": "netease", "address": "ann@163.com"}).text

    assert value_of(page, "host") == "imap.163.com"
    assert value_of(page, "port") == "993"
    assert "授权码" in page
    assert "help.mail.163.com" in page


def test_a_mailbox_is_added_sealed_and_scheduled(bob: Browser, concord: Concord, schedule: MemorySchedule) -> None:
    answer = send(bob, f"{LIST}/accounts", password=" two words ")

    account = concord.accounts.get("ann")
    assert answer.url.path == place_of(account)
    assert "is added" in answer.text
    assert password_of(concord) == " two words "
    assert (account.port, account.tls, account.folders) == (993, Tls.IMPLICIT, ("INBOX",))
    assert account.id in schedule.intervals


def test_every_field_of_the_form_is_kept(bob: Browser, concord: Concord) -> None:
    send(
        bob,
        f"{LIST}/accounts",
        port="1143",
        tls="starttls",
        folders="INBOX\r\n Jobs \r\n\r\n",
        start="since",
        since="2026-01-31",
        after="move",
        after_folder="Done",
        interval="120",
        priority="high",
        enabled=None,
    )

    account = concord.accounts.get("ann")
    assert (account.port, account.tls, account.folders) == (1143, Tls.STARTTLS, ("INBOX", "Jobs"))
    assert (account.start.kind, str(account.start.since)) == (StartKind.SINCE, "2026-01-31")
    assert (account.after.kind, account.after.folder) == (AfterKind.MOVE, "Done")
    assert (account.interval, account.priority.value, account.enabled) == (120, "high", False)


def test_every_mistake_is_told_at_its_field_and_nothing_is_kept(bob: Browser, concord: Concord) -> None:
    answer = send(
        bob,
        f"{LIST}/accounts",
        name="-x",
        host="https://mail.example.org",
        port="many",
        user="",
        password="",
        folders="",
        start="since",
        after="move",
        interval="0",
    )

    assert answer.status_code == 422
    for field in ("name", "host", "port", "user", "password", "folders", "start", "after", "interval"):
        assert re.search(rf'id="f-{field}"[^>]*aria-invalid="true"', answer.text), field
    assert value_of(answer.text, "host") == "https://mail.example.org"
    assert concord.accounts.all() == []


def test_a_name_that_is_taken_is_told_at_the_name(bob: Browser, kept: Account) -> None:
    answer = send(bob, f"{LIST}/accounts")

    assert answer.status_code == 422
    assert re.search(r'id="f-name"[^>]*aria-invalid="true"', answer.text)


def test_clear_text_needs_to_be_said_twice(bob: Browser, concord: Concord) -> None:
    refused = send(bob, f"{LIST}/accounts", tls="none")
    assert refused.status_code == 422
    assert "in clear" in refused.text
    assert concord.accounts.all() == []

    send(bob, f"{LIST}/accounts", tls="none", plain="1")
    assert concord.accounts.get("ann").tls is Tls.NONE


def test_a_password_is_never_shown_again(bob: Browser) -> None:
    refused = send(bob, f"{LIST}/accounts", host="", password="hunter2-hunter2")

    assert refused.status_code == 422
    assert "hunter2" not in refused.text


def test_without_redis_it_is_stored_and_that_is_told(bob: Browser, concord: Concord, schedule: MemorySchedule) -> None:
    schedule.down = True

    answer = send(bob, f"{LIST}/accounts")

    assert "the schedule follows automatically" in answer.text
    assert concord.accounts.get("ann").host == "mail.example.org"


# Changing.


def test_a_change_keeps_the_password_that_is_not_typed(bob: Browser, concord: Concord, kept: Account) -> None:
    edited = place_of(kept, "/edit")
    assert value_of(bob.get(edited).text, "host") == "mail.example.org"

    answer = send(bob, edited, edited, name=None, password="", folders="INBOX\nJobs", interval="")

    assert "is changed" in answer.text
    account = concord.accounts.get("ann")
    assert (account.folders, account.interval, password_of(concord)) == (("INBOX", "Jobs"), None, "sesame")


def test_another_server_wants_the_password_again(bob: Browser, concord: Concord, kept: Account) -> None:
    """Whoever may change a mailbox must not learn its password that way."""
    edited = place_of(kept, "/edit")

    refused = send(bob, edited, edited, host="evil.example", password="")
    assert refused.status_code == 422
    assert "The password is for the server and the login it was given for" in refused.text
    assert concord.accounts.get("ann").host == "mail.example.org"

    send(bob, edited, edited, host="new.example.org", password="another", mailbox="same")
    assert (concord.accounts.get("ann").host, password_of(concord)) == ("new.example.org", "another")


def test_a_changed_host_or_user_is_asked_about(bob: Browser, concord: Concord, kept: Account) -> None:
    """P24: the same mailbox, moved, or another one: never guessed."""
    edited = place_of(kept, "/edit")
    assert 'name="mailbox"' not in bob.get(edited).text

    asked = send(bob, edited, edited, user="eve", password="sesame")
    assert asked.status_code == 422
    assert "the same mailbox, moved, or another one?" in asked.text
    assert 'name="mailbox"' in asked.text
    assert concord.accounts.get("ann") == kept

    send(bob, edited, edited, user="anna", password="sesame", mailbox="same")
    assert concord.accounts.get("ann").id == kept.id
    answer = send(bob, edited, edited, user="eve", password="sesame", mailbox="another")
    other = concord.accounts.get("ann")
    assert (other.user, other.id != kept.id, other.key != kept.key) == ("eve", True, True)
    assert answer.url.path.endswith(f"/accounts/{other.id}")


def test_what_was_found_out_about_a_server_is_shown(bob: Browser, concord: Concord, kept: Account) -> None:
    concord.accounts.note(kept.id, AccountNote.SEARCH_UNRELIABLE, holds=True)

    assert "Concord lists mail with FETCH" in bob.get(place_of(kept)).text


def test_every_folder_and_some_that_it_leaves_out(bob: Browser, concord: Concord, kept: Account) -> None:
    """P14."""
    edited = place_of(kept, "/edit")

    send(bob, edited, edited, password="", every_folder="1", folders="INBOX\nSpam")
    assert concord.accounts.get("ann").folders == ("*", "Spam")
    assert "Spam" in bob.get(edited).text
    assert "every folder, Spam" in bob.get(place_of(kept)).text


def test_a_mailbox_keeps_its_name(bob: Browser, concord: Concord, kept: Account) -> None:
    edited = place_of(kept, "/edit")

    send(bob, edited, edited, name="eve", password="")

    assert [account.name for account in concord.accounts.all()] == ["ann"]


# Testing.


def test_a_mailbox_is_tested_as_it_is_kept(bob: Browser, sources: ScriptedSources, kept: Account) -> None:
    """Without JavaScript: a page that loads itself anew until all steps have ended."""
    answer = bob.submit(place_of(kept, "/test"), place_of(kept))

    page = finished(bob, answer.url.path)
    assert "passed" in page
    assert "1.2.3.4" in page
    assert "Back to the mailbox" in page


def test_a_new_mailbox_is_tested_before_it_is_kept(bob: Browser, concord: Concord, sources: ScriptedSources) -> None:
    answer = send(bob, "/admin/settings/try")

    trial = answer.url.path
    page = finished(bob, trial)
    assert "Save the mailbox" in page
    assert "sesame" not in page
    assert concord.accounts.all() == []
    assert concord.vault.unseal(sources.tested[0].secret, of_password(sources.tested[0])) == "sesame"

    assert "is added" in bob.submit(f"{trial}/save", trial).text
    assert password_of(concord) == "sesame"
    assert "not kept any more" in bob.submit(f"{trial}/save", LIST + "/new").text


def test_a_test_that_fails_says_why_and_leads_back_to_the_form(
    bob: Browser, concord: Concord, sources: ScriptedSources
) -> None:
    sources.steps = [
        CheckStep(
            name="tcp",
            ok=False,
            error=MailboxDownError("unreachable"),
            cause="connection refused",
            facts={"cause": "connection refused"},
        )
    ]
    trial = send(bob, "/admin/settings/try", port="1993").url.path

    page = finished(bob, trial)
    assert "did not pass" in page
    assert "connection refused" in page
    assert "Save the mailbox" not in page

    form = bob.get(f"{trial}/form").text
    assert value_of(form, "port") == "1993"
    assert value_of(form, "password") == ""
    again = send(bob, f"{LIST}/accounts", f"{trial}/form", password="", trial=trial.rpartition("/")[2])
    assert "is added" in again.text
    assert password_of(concord) == "sesame"


def test_the_steps_are_streamed_as_they_end(bob: Browser, sources: ScriptedSources) -> None:
    trial = send(bob, "/admin/settings/try").url.path

    stream = bob.get(f"{trial}/live").text

    assert "1.2.3.4" in stream
    assert stream.rstrip().endswith("event: end\ndata:")


def test_with_javascript_the_steps_stand_beside_the_form(bob: Browser, sources: ScriptedSources) -> None:
    page = bob.get(NEW)
    token = re.search(r'name="csrf" value="([^"]*)"', page.text)
    assert token

    answer = bob.post("/admin/settings/try", data={"csrf": token[1], **FORM}, headers={"HX-Request": "true"})

    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "Connection test" in answer.text


def test_a_form_with_mistakes_is_not_tested(bob: Browser, sources: ScriptedSources) -> None:
    assert send(bob, "/admin/settings/try", host="a b").status_code == 422
    assert sources.tested == []


def test_a_kept_password_is_tested_on_its_own_server_only(
    bob: Browser, concord: Concord, sources: ScriptedSources, kept: Account
) -> None:
    edited = place_of(kept, "/edit")

    refused = send(bob, place_of(kept, "/try"), edited, host="evil.example", password="")
    assert refused.status_code == 422
    assert sources.tested == []

    send(bob, place_of(kept, "/try"), edited, password="", user="ann@example.org")
    assert eventually(lambda: bool(sources.tested))
    assert concord.vault.unseal(sources.tested[0].secret, of_password(sources.tested[0])) == "sesame"


def test_a_test_is_seen_by_whoever_began_it_only(bob: Browser, alice: Browser, sources: ScriptedSources) -> None:
    trial = send(bob, "/admin/settings/try").url.path

    assert "not kept any more" in alice.get(trial).text
    assert alice.get(f"{trial}/live").status_code == 204


# Who may.


@pytest.mark.parametrize("verb", ["/poll", "/enable", "/disable", "/test", "/edit", "/remove", "/try"])
def test_a_viewer_changes_nothing(carol: Browser, kept: Account, verb: str) -> None:
    assert carol.submit(place_of(kept, verb)).status_code == 403


@pytest.mark.parametrize("place", ["/new", "/form", "/accounts/1/edit", "/accounts/1/remove"])
def test_a_viewer_is_shown_no_form(carol: Browser, kept: Account, place: str) -> None:
    assert carol.get(f"{LIST}{place}").status_code == 403


def test_a_viewer_sees_how_mailboxes_do_and_no_buttons(carol: Browser, kept: Account) -> None:
    for page in (carol.get(LIST).text, carol.get(place_of(kept)).text):
        assert "ann@example.org" in page
        assert "Poll now" not in page
        assert "Remove" not in page
        assert "Add a mailbox" not in page


def test_a_stranger_sees_nothing(mallory: Browser, kept: Account) -> None:
    assert mallory.get(place_of(kept)).url.path == "/admin/login"


def value_of(page: str, field: str) -> str:
    """What stands in a field."""
    found = re.search(rf'<input id="f-{field}"[^>]* value="([^"]*)"', page)
    assert found, field
    return found[1]


def _found(host: str, source: DiscoverySource) -> FoundServer:
    return FoundServer(host=host, port=993, tls=Tls.IMPLICIT, user="ann@example.org", source=source, place="there")


def finished(browser: Browser, trial: str) -> str:
    """The test's page, once all steps have ended."""
    assert eventually(lambda: 'http-equiv="refresh"' not in browser.get(trial).text)
    return browser.get(trial).text


# Certificate authorities (A6).


def test_authority_is_chosen_on_the_form_or_pasted(bob: Browser, concord: Concord, kept: Account) -> None:
    (concord.settings.poll.authorities / "corp.pem").write_text(PEM, encoding="ascii")
    edited = place_of(kept, "/edit")
    assert '<option value="named:corp"' in bob.get(edited).text

    refused = send(bob, edited, edited, authority="named:corp", password="")
    assert (refused.status_code, concord.accounts.get("ann")) == (422, kept)
    assert "The password is for the server and the login" in refused.text
    send(bob, edited, edited, authority="named:corp", password="sesame")
    assert concord.accounts.get("ann").ca_file == str(concord.settings.poll.authorities / "corp.pem")
    assert '<option value="named:corp" selected' in bob.get(edited).text

    send(bob, edited, edited, authority="pasted", ca_pem=f"\r\n{PEM}", password="sesame")
    assert (concord.accounts.get("ann").ca_file, concord.accounts.get("ann").ca_pem) == (None, PEM.strip())
    send(bob, edited, edited, authority="pasted", ca_pem=PEM, interval="90", password="")
    assert concord.accounts.get("ann").interval == 90  # the same certificates need no password
    assert "pasted certificates" in bob.get(place_of(kept)).text

    for wrong in ({"ca_pem": ""}, {"ca_pem": "x"}, {"authority": "named:../corp"}, {"ca_file": "/etc/passwd"}):
        fields = {"authority": "pasted", "ca_pem": PEM, "password": "sesame"} | wrong
        assert send(bob, edited, edited, **fields).status_code == 422, wrong
    send(bob, edited, edited, authority="", password="sesame")
    assert (concord.accounts.get("ann").ca_file, concord.accounts.get("ann").ca_pem) == (None, None)


def test_file_that_was_named_at_a_shell_stays(bob: Browser, concord: Concord, kept: Account, tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    file.write_text(PEM, encoding="ascii")
    own = concord.accounts.save(sealed_in(concord.vault, replace(kept, ca_file=str(file)), "sesame"))
    edited = place_of(own, "/edit")

    assert '<option value="kept" selected' in bob.get(edited).text
    send(bob, edited, edited, authority="kept", interval="90", password="")

    assert (concord.accounts.get("ann").ca_file, concord.accounts.get("ann").interval) == (str(file), 90)
