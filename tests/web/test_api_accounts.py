"""Mailboxes through the API (U7, A3, A4, A8): all that their pages do, and no secret ever comes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.model.account import Account, AccountNote, AccountState, AccountStatus, AuthKind, Tls
from concord.model.binding import of_password
from concord.model.discovery import DiscoverySource, FoundServer
from concord.model.user import Permission
from concord.web import trials
from tests.factories import sealed_in
from tests.fakes.discovery import MemoryDiscoverer
from tests.fakes.mailbox import MemoryMailboxes
from tests.fakes.queue import MemoryQueue, MemorySchedule
from tests.web_world import Browser, token_of

API = "/api/v1/accounts"
NEW = {"name": "ann", "host": "mail.example.org", "user": "ann@example.org", "password": "s3same-street"}


class Program:
    """Speaks the API with a token of Bob's, an operator."""

    def __init__(self, concord: Concord, browser: Browser) -> None:
        self._browser = browser
        self._headers = token_of(concord, "bob") | {"Accept": "*/*"}

    def __call__(self, verb: str, place: str, status: int = 200, **options: Any) -> Any:
        """What is answered: JSON; the status must be that."""
        answer: Response = self._browser.request(verb, place, headers=self._headers, **options)
        assert answer.status_code == status, answer.text
        assert "s3same" not in answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def ask(concord: Concord, mallory: Browser) -> Program:
    return Program(concord, mallory)


@pytest.fixture(autouse=True)
def schedule(concord: Concord) -> MemorySchedule:
    made = MemorySchedule()
    vars(concord)["schedule"] = made
    return made


@pytest.fixture
def queue(concord: Concord) -> MemoryQueue:
    made = MemoryQueue()
    vars(concord)["queue"] = made
    return made


@pytest.fixture
def mailboxes(concord: Concord) -> MemoryMailboxes:
    made = MemoryMailboxes()
    made.add_user("ann@example.org")
    vars(concord)["sources"] = made
    return made


@pytest.fixture
def kept(concord: Concord) -> Account:
    account = Account(name="ann", host="mail.example.org", user="ann@example.org")
    return concord.accounts.add(sealed_in(concord.vault, account, "s3same-street"))


def password_of(concord: Concord, name: str = "ann") -> str:
    return concord.vault.unseal(concord.accounts.get(name).secret, of_password(concord.accounts.get(name)))


def pointers(problem: dict[str, Any]) -> list[str]:
    return [one["pointer"] for one in problem["errors"]]


def actions(concord: Concord) -> list[tuple[str, str, str, str]]:
    return [(one.actor, one.via, one.action, one.outcome) for one in concord.audit.entries()]


def test_a_mailbox_is_added_as_usual_sealed_and_scheduled(
    ask: Program, concord: Concord, schedule: MemorySchedule
) -> None:
    made = ask("POST", API, 201, json=NEW)

    told = made["account"]
    assert made["schedule_follows"]
    assert (told["port"], told["tls"], told["folders"], told["start"]) == (993, "implicit", ["INBOX"], "new")
    assert (told["password"], told["state"], told["enabled"]) == ("set", "new", True)
    assert password_of(concord) == "s3same-street"
    assert list(schedule.intervals) == [told["id"]]
    assert actions(concord)[0] == ("bob", "api", "account.add", "done")
    assert ask("GET", f"{API}/ann")["messages"] == 0


def test_where_it_lies_is_told_whatever_its_name(concord: Concord, mallory: Browser) -> None:
    headers = token_of(concord, "bob")

    answer = mallory.post(API, headers=headers, json={**NEW, "name": "Vertrieb Süd? #1"})

    assert answer.headers["location"] == f"{API}/Vertrieb%20S%C3%BCd%3F%20%231"
    assert mallory.get(answer.headers["location"], headers=headers).json()["name"] == "Vertrieb Süd? #1"


def test_every_mistake_is_told_at_its_field_with_what_to_do(ask: Program, concord: Concord) -> None:
    wrong = {**NEW, "host": "https://mail.example.org", "start": "yesterday", "after": "burn", "password": "a\nb"}

    told = ask("POST", API, 422, json=wrong)

    assert told["type"] == "urn:concord:problem:mistakes"
    assert sorted(pointers(told)) == ["/after", "/host", "/password", "/start"]
    assert "This cannot be a host: it is a URL. Give the host name alone" in str(told["errors"])
    assert concord.accounts.all() == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"password": None}, "/password"),
        ({"tls": "none"}, "/tls"),
        ({"auth": "oauth2"}, "/password"),
        ({"auth": "oauth2-app", "password": None}, "/oauth_client"),
        ({"ca_file": "/dev/zero"}, "/ca_file"),
        ({"ca_file": "/"}, "/ca_file"),
        ({"ca_file": "/nowhere.pem"}, "/ca_file"),
        ({"folders": ["Jobs", "Jobs"]}, "/folders"),
        ({"folders": ["INBOX", ""]}, "/folders"),
        ({"name": "a/b"}, "/name"),
    ],
)
def test_what_cannot_work_is_not_kept(ask: Program, concord: Concord, changes: dict[str, Any], pointer: str) -> None:
    assert pointers(ask("POST", API, 422, json=NEW | changes)) == [pointer]
    assert concord.accounts.all() == []


def test_a_folder_that_every_folder_leaves_out_is_polled_when_it_is_named(ask: Program) -> None:
    """`*` leaves out All Mail, Drafts, Junk and Trash (RFC 6154); the names beside it bring them back."""
    told = ask("POST", API, 201, json={**NEW, "folders": ["*", "Trash"]})

    assert told["account"]["folders"] == ["*", "Trash"]


def test_a_pipe_is_no_authoritys_file(ask: Program, tmp_path: Path) -> None:
    """Nobody would ever write into it: the call would not end."""
    os.mkfifo(tmp_path / "pipe")

    assert pointers(ask("POST", API, 422, json={**NEW, "ca_file": str(tmp_path / "pipe")})) == ["/ca_file"]


def test_clear_text_must_be_meant(ask: Program) -> None:
    told = ask("POST", API, 201, json={**NEW, "tls": "none", "in_clear": True})

    assert (told["account"]["tls"], told["account"]["port"]) == ("none", 143)
    # It need not be said again for another change.
    assert ask("PATCH", f"{API}/ann", json={"interval": 60})["account"]["interval"] == 60


def test_a_name_is_given_once(ask: Program, kept: Account) -> None:
    refused = ask("POST", API, 409, json=NEW)
    assert (refused["type"], refused["situation"]) == ("urn:concord:problem:exists", "exists.account")


def test_a_client_that_is_not_there_is_told(ask: Program) -> None:
    told = ask("POST", API, 404, json={**NEW, "auth": "oauth2", "oauth_client": "main", "password": None})

    assert "main" in told["facts"].values()


def test_a_change_leaves_all_else_as_it_is(ask: Program, concord: Concord, kept: Account) -> None:
    told = ask("PATCH", f"{API}/ann", json={"folders": ["INBOX", "Orders"], "interval": 90, "priority": "high"})

    assert told["account"]["folders"] == ["INBOX", "Orders"]
    assert password_of(concord) == "s3same-street"
    assert ask("PATCH", f"{API}/ann", json={"interval": None})["account"]["interval"] is None
    after = concord.accounts.get("ann")
    assert (after.host, after.priority.value, after.interval) == ("mail.example.org", "high", None)


def test_null_says_nothing_of_what_cannot_be_null(ask: Program, kept: Account) -> None:
    told = ask("PATCH", f"{API}/ann", json={"host": None, "tls": None, "enabled": None, "password": None})

    assert (told["account"]["host"], told["account"]["tls"]) == ("mail.example.org", "implicit")


def test_another_server_is_not_told_the_kept_password(ask: Program, concord: Concord, kept: Account) -> None:
    """A3."""
    told = ask("PATCH", f"{API}/ann", 422, json={"host": "evil.example.org"})

    assert pointers(told) == ["/password"]
    assert concord.accounts.get("ann").host == "mail.example.org"
    ask("PATCH", f"{API}/ann", json={"host": "imap.example.org", "password": "s3same-new", "mailbox": "same"})
    assert password_of(concord) == "s3same-new"


def test_a_changed_host_or_user_is_asked_about(ask: Program, concord: Concord, kept: Account) -> None:
    """P24: the same mailbox, moved, or another one: never guessed."""
    for change in ({"user": "eve", "password": "x"}, {"host": "imap.example.org", "password": "s3same-new"}):
        assert pointers(ask("PATCH", f"{API}/ann", 422, json=change)) == ["/mailbox"]
    ask("PATCH", f"{API}/ann", 422, json={"user": "eve", "mailbox": "perhaps"})
    assert concord.accounts.get("ann") == kept

    moved = ask("PATCH", f"{API}/ann", json={"user": "anna", "password": "x", "mailbox": "same"})
    other = ask("PATCH", f"{API}/ann", json={"user": "eve", "password": "x", "mailbox": "another"})

    assert moved["account"]["id"] == kept.id
    assert (other["account"]["id"], other["account"]["user"]) != (kept.id, "anna")


def test_what_was_found_out_about_a_server_is_told(ask: Program, concord: Concord, kept: Account) -> None:
    assert ask("GET", f"{API}/ann")["notes"] == []

    concord.accounts.note(kept.id, AccountNote.SEARCH_UNRELIABLE, holds=True)

    [note] = ask("GET", f"{API}/ann")["notes"]
    assert note["code"] == "search_unreliable"
    assert "SEARCH" in note["detail"]


def test_from_a_token_back_to_a_password_takes_one(ask: Program, concord: Concord, kept: Account) -> None:
    oauth = Account(name="eve", host="mail.example.org", user="eve", auth=AuthKind.OAUTH2)
    concord.accounts.add(oauth)

    assert pointers(ask("PATCH", f"{API}/eve", 422, json={"auth": "password"})) == ["/password"]
    assert ask("PATCH", f"{API}/eve", json={"auth": "password", "password": "s3same-2"})["account"]["password"] == "set"


def test_a_mailbox_is_switched_off_and_on(
    ask: Program, concord: Concord, schedule: MemorySchedule, kept: Account
) -> None:
    for _ in range(2):
        assert not ask("POST", f"{API}/ann/disable")["account"]["enabled"]
    assert schedule.intervals == {}
    assert ask("POST", f"{API}/ann/enable")["account"]["enabled"]
    assert list(schedule.intervals) == [kept.id]
    assert [one[2] for one in actions(concord)[:3]] == ["account.enable", "account.disable", "account.disable"]


def test_without_redis_it_is_kept_all_the_same_and_told(
    ask: Program, concord: Concord, schedule: MemorySchedule, kept: Account
) -> None:
    schedule.down = True

    assert not ask("POST", f"{API}/ann/disable")["schedule_follows"]
    assert not concord.accounts.get("ann").enabled
    assert ask("DELETE", f"{API}/ann") == {"name": "ann", "schedule_follows": False}


def test_a_poll_is_queued_or_told_why_not(ask: Program, queue: MemoryQueue, kept: Account) -> None:
    assert ask("POST", f"{API}/ann/poll", 202)["name"] == "ann"
    assert queue.forced == [kept.id]
    queue.down = True
    assert "Redis did not answer" in ask("POST", f"{API}/ann/poll", 503)["detail"]


def test_a_removed_mailbox_is_gone(ask: Program, concord: Concord, kept: Account) -> None:
    assert ask("DELETE", f"{API}/ann")["name"] == "ann"
    assert concord.accounts.all() == []
    for verb, place in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/enable"), ("GET", "/folders")):
        assert ask(verb, f"{API}/ann{place}", 404)["type"] == "urn:concord:problem:not_found"


def test_the_list_is_narrowed_and_paged_by_name(ask: Program, concord: Concord) -> None:
    for number in range(7):
        concord.accounts.add(Account(name=f"box-{number}", host="mail.example.org", user=f"u{number}"))
    ask("POST", f"{API}/box-3/disable")
    concord.accounts.set_status(
        concord.accounts.get("box-5").id, AccountStatus(state=AccountState.AUTH_FAILED, failures=2)
    )

    names, cursor = [], None
    while True:
        page = ask("GET", API, params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        names.append([one["name"] for one in page["items"]])
        cursor = page["next"]
        if cursor is None:
            break
    assert names == [["box-0", "box-1", "box-2"], ["box-3", "box-4", "box-5"], ["box-6"]]

    def found(**narrowed: Any) -> list[str]:
        return [one["name"] for one in ask("GET", API, params=narrowed)["items"]]

    assert found(search="u6") == ["box-6"]
    assert found(enabled=False) == ["box-3"]
    assert found(failing=True) == found(state="auth_failed") == ["box-5"]
    assert "login" in ask("GET", f"{API}/box-5")["advice"]["detail"]


@pytest.mark.parametrize("cursor", ["x", "W10", "W1tdXQ", "W1wiYVwiXQ==", "😀"])
def test_a_cursor_of_somebody_elses_is_refused(ask: Program, cursor: str) -> None:
    assert "cursor" in ask("GET", API, 422, params={"cursor": cursor})["detail"]


# Tests of connections.


def test_a_connection_is_tested_before_anything_is_kept(
    ask: Program, concord: Concord, mailboxes: MemoryMailboxes
) -> None:
    told = ask("POST", f"{API}/test", json=NEW)

    assert told["passed"]
    assert [(step["name"], step["ok"]) for step in told["steps"]] == [("tcp", True), ("login", True)]
    assert concord.accounts.all() == []
    assert actions(concord)[0] == ("bob", "api", "account.test", "done")


def test_a_kept_mailbox_is_tested_and_as_it_would_be(
    ask: Program, mailboxes: MemoryMailboxes, kept: Account, concord: Concord
) -> None:
    assert ask("POST", f"{API}/ann/test")["passed"]
    told = ask("POST", f"{API}/ann/test-change", json={"user": "nobody", "password": "s3same-other"})

    assert not told["passed"]
    assert (told["steps"][-1]["name"], told["steps"][-1]["ok"]) == ("login", False)
    assert concord.accounts.get("ann").user == "ann@example.org"
    assert actions(concord)[0][2:] == ("account.test", "failed")
    assert pointers(ask("POST", f"{API}/ann/test-change", 422, json={"host": "other.example.org"})) == ["/password"]


def test_no_more_tests_run_at_once_than_can(
    ask: Program, mailboxes: MemoryMailboxes, kept: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def acquire(self, *, blocking: bool) -> bool:
            return blocking

    monkeypatch.setattr(trials, "_running", Full())

    assert "Too many connection tests" in ask("POST", f"{API}/ann/test", 409)["detail"]


def test_a_test_gives_its_turn_back(ask: Program, mailboxes: MemoryMailboxes, kept: Account) -> None:
    for _ in range(trials.MOST_AT_ONCE + 1):
        assert ask("POST", f"{API}/ann/test")["passed"]


# Lists.

CSV = "name,host,user,password\n"


def test_a_list_is_looked_at_before_it_is_imported(ask: Program, concord: Concord, kept: Account) -> None:
    """A8."""
    rows = (
        "ann,imap.example.org,ann,s3same-a,same",
        "bob,mail.example.org,bob,s3same-b,",
        "eve,https://x,eve,s3same-c,",
    )
    text = "\n".join(("name,host,user,password,mailbox", *rows, ""))

    told = ask("POST", f"{API}/import", json={"list": text, "dry_run": True})

    assert told["counts"] == {"add": 1, "change": 1, "same": 0, "wrong": 1}
    assert [(row["place"], row["verb"]) for row in told["rows"]] == [(2, "change"), (3, "add"), (4, "wrong")]
    assert {"field": "host", "before": "mail.example.org", "after": "imap.example.org"} in told["rows"][0]["changes"]
    assert "it is a URL" in told["rows"][2]["error"]
    assert [one.name for one in concord.accounts.all()] == ["ann"]

    refused = ask("POST", f"{API}/import", 422, json={"list": text})
    assert pointers(refused) == ["/rows/4"]
    assert [one.name for one in concord.accounts.all()] == ["ann"]

    done = ask("POST", f"{API}/import", json={"list": text, "keep_going": True})
    assert (done["counts"]["add"], done["counts"]["wrong"], done["schedule_follows"]) == (1, 1, True)
    assert password_of(concord, "bob") == "s3same-b"
    assert concord.accounts.get("ann").host == "imap.example.org"


@pytest.mark.parametrize("text", ["", " \n", "name,host\n", "x" * 2_000_000, "[[accounts]]\nname = "])
def test_what_is_no_list_is_told(ask: Program, text: str) -> None:
    assert ask("POST", f"{API}/import", 422, json={"list": text})["detail"]


# Finding servers.


def test_an_address_leads_to_its_server(ask: Program, concord: Concord) -> None:
    discoverer = MemoryDiscoverer()
    vars(concord)["discoverer"] = discoverer
    discoverer.servers["ann@example.org"] = (
        FoundServer(
            host="imap.example.org",
            port=993,
            tls=Tls.IMPLICIT,
            user="ann@example.org",
            source=DiscoverySource.SRV,
            place="_imaps._tcp.example.org",
        ),
    )

    told = ask("POST", "/api/v1/discovery", json={"address": "ann@example.org"})

    assert (told["found"][0]["host"], told["found"][0]["source"]) == ("imap.example.org", "srv")
    assert told["asked"][0]["outcome"] == "found"
    assert "address" in ask("POST", "/api/v1/discovery", 422, json={"address": "ann at example"})["detail"]


def test_presets_say_what_each_provider_wants(ask: Program) -> None:
    presets = {one["key"]: one for one in ask("GET", "/api/v1/discovery/presets")["items"]}

    assert presets["gmail"]["hosts"][0] == "imap.gmail.com"
    assert presets["microsoft"]["wants_oauth"]
    assert {"yahoo", "icloud", "qq", "netease", "aliyun", "fastmail", "generic"} <= presets.keys()


def test_who_may_only_operate_tests_and_switches_but_changes_nothing(
    concord: Concord, mallory: Browser, mailboxes: MemoryMailboxes, kept: Account
) -> None:
    headers = token_of(concord, "bob", Permission.READ, Permission.OPERATE)

    assert mallory.post(f"{API}/ann/test", headers=headers).status_code == 200
    assert mallory.post(f"{API}/ann/disable", headers=headers).status_code == 200
    assert mallory.patch(f"{API}/ann", headers=headers, json={"interval": 5}).status_code == 403
    assert mallory.post(f"{API}/ann/test-change", headers=headers, json={"user": "x"}).status_code == 403
    assert mallory.post(f"{API}/import", headers=headers, json={"list": CSV}).status_code == 403


@pytest.mark.parametrize("place", [f"{API}/%00", f"{API}?search=%00", f"{API}?cursor=%00"])
def test_an_address_with_a_nul_is_none(concord: Concord, mallory: Browser, place: str) -> None:
    assert mallory.get(place, headers=token_of(concord, "bob")).status_code == 400


def test_a_body_with_a_nul_is_refused_and_one_with_its_name_is_not(
    concord: Concord, mallory: Browser, kept: Account
) -> None:
    headers = token_of(concord, "bob")

    refused = mallory.patch(f"{API}/ann", headers=headers, json={"folders": ["a\0b"]})
    taken = mallory.patch(f"{API}/ann", headers=headers, json={"folders": ["INBOX", r"a\u0000b"]})

    assert (refused.status_code, taken.status_code) == (422, 200)
    assert "NUL" in refused.json()["detail"]
