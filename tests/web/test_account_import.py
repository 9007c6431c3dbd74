"""Importing mailboxes on pages (A8): a preview that changes nothing, then the same carried out."""

from __future__ import annotations

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.model.account import Account
from concord.model.binding import of_password
from concord.services.importing import MOST_OCTETS
from tests.factories import sealed_in
from tests.fakes.queue import MemorySchedule
from tests.web_world import Browser, csrf

PLACE = "/admin/settings/import"
HEADER = "name,host,user,password,mailbox\n"
RIGHT = HEADER + "ann,mail.example.org,ann,hunter2-ann,\nbob,imap.example.org,bob,hunter2-bob,same\n"
WRONG = RIGHT + "eve,https://mail.example.org,eve,hunter2-eve,\n"


@pytest.fixture(autouse=True)
def bob_is_there(concord: Concord) -> None:
    vars(concord)["schedule"] = MemorySchedule()
    account = Account(name="bob", host="mail.example.org", user="bob")
    concord.accounts.add(sealed_in(concord.vault, account, "sesame"))


def send(browser: Browser, text: str) -> Response:
    return browser.submit(PLACE, PLACE, list=text)


def names(concord: Concord) -> list[str]:
    return [account.name for account in concord.accounts.all()]


def test_a_preview_tells_what_would_change_without_passwords(bob: Browser, concord: Concord) -> None:
    page = send(bob, WRONG).text

    assert "it is a URL" in page
    assert "another one" in page
    assert "mail.example.org</span> → imap.example.org" in page
    assert "hunter2" not in page
    assert names(concord) == ["bob"]


def test_a_row_that_points_elsewhere_says_which_mailbox_is_there(bob: Browser, concord: Concord) -> None:
    """P24: the same mailbox, moved, or another one: never guessed."""
    unsaid = RIGHT.replace(",same", ",")

    page = send(bob, unsaid).text

    assert "the same mailbox, moved, or another one?" in page
    assert "Set &#39;mailbox&#39; to &#39;same&#39;" in page
    bob.submit(*[send(bob, unsaid).url.path] * 2, keep_going="1")
    assert concord.accounts.get("bob").host == "mail.example.org"


@pytest.mark.parametrize(("answer", "stays"), [("same", True), ("another", False)])
def test_a_row_keeps_its_mailbox_or_begins_with_another(
    bob: Browser, concord: Concord, answer: str, *, stays: bool
) -> None:
    before = concord.accounts.get("bob")
    preview = send(bob, RIGHT.replace(",same", f",{answer}")).url.path

    bob.submit(preview, preview)

    after = concord.accounts.get("bob")
    assert after.host == "imap.example.org"
    assert (after.id == before.id, after.key == before.key) == (stays, stays)


def test_what_was_shown_is_carried_out_once(bob: Browser, concord: Concord) -> None:
    preview = send(bob, RIGHT).url.path

    page = bob.submit(preview, preview).text

    assert "1 mailbox added" in page
    assert "1 changed" in page
    assert (
        concord.vault.unseal(concord.accounts.get("ann").secret, of_password(concord.accounts.get("ann")))
        == "hunter2-ann"
    )
    assert (
        concord.vault.unseal(concord.accounts.get("bob").secret, of_password(concord.accounts.get("bob")))
        == "hunter2-bob"
    )
    assert "not kept any more" in bob.get(preview).text


def test_wrong_rows_are_left_out_only_where_that_is_said(bob: Browser, concord: Concord) -> None:
    preview = send(bob, WRONG).url.path

    assert "Nothing is imported" in bob.submit(preview, preview).text
    assert names(concord) == ["bob"]

    page = bob.submit(preview, preview, keep_going="1").text
    assert "1 row came to nothing" in page
    assert names(concord) == ["ann", "bob"]


def test_a_file_is_read_as_pasted_text_is(bob: Browser) -> None:
    token = csrf(bob.get(PLACE))

    page = bob.post(PLACE, data={"csrf": token}, files={"file": ("mailboxes.csv", RIGHT.encode("utf-8-sig"))}).text

    assert "ann · mail.example.org" in page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The list is empty"),
        ("name,host\n", "lacks a column"),
        ("[[accounts]]\nname = \n", "not valid TOML"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(bob: Browser, text: str, told: str) -> None:
    answer = send(bob, text)

    assert answer.status_code == 422
    assert told in answer.text


def test_a_list_that_is_too_long_is_refused(bob: Browser) -> None:
    token = csrf(bob.get(PLACE))

    answer = bob.post(PLACE, data={"csrf": token}, files={"file": ("x.csv", b"x" * (MOST_OCTETS + 1))})

    assert answer.status_code == 422
    assert "The list is too long" in answer.text


def test_the_lists_are_kept_sealed_and_for_their_sender(bob: Browser, alice: Browser) -> None:
    preview = send(bob, RIGHT).url.path

    assert "not kept any more" in alice.get(preview).text
    shelf = bob.app.state.account_lists  # type: ignore[attr-defined]  # the test client knows it as any application
    assert "hunter2" not in repr(vars(shelf))


def test_a_viewer_imports_nothing(carol: Browser) -> None:
    assert carol.get(PLACE).status_code == 403
    assert carol.submit(PLACE, list=RIGHT).status_code == 403


def test_a_long_list_makes_a_short_page(bob: Browser) -> None:
    text = HEADER + "".join(f"box-{number},mail.example.org,user,x\n" for number in range(1000))

    page = send(bob, text)

    assert len(page.content) < 100_000
    assert "the first 100 of 1000" in page.text
