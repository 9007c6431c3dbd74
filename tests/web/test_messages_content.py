"""A mail read on its page: its frame that nothing leaves, its own pictures, its files, each reading written down."""

from __future__ import annotations

import base64
from email.message import EmailMessage

import pytest

from concord.bootstrap import Concord
from concord.web import mail_frame
from tests.factories import mail
from tests.web.mails import Mails
from tests.web_world import Browser

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def mails(concord: Concord) -> Mails:
    return Mails(concord)


def with_picture(html: str, *, subtype: str = "png", name: str = "<logo@example.com>") -> bytes:
    """A mail with HTML and one picture of its own."""
    made = EmailMessage()
    made["From"], made["Subject"] = "Ann <ann@example.com>", "Picture"
    made.set_content(html, subtype="html")
    made.add_related(PIXEL, maintype="image", subtype=subtype, cid=name)
    return made.as_bytes().replace(b"\n", b"\r\n")


def readings(concord: Concord) -> list[str]:
    return [one.action for one in concord.audit.entries() if one.action.endswith(".read")]


def frame_of(browser: Browser, number: int) -> str:
    answer = browser.get(f"/admin/messages/{number}/frame")
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:logo@example.com">',
        "<img src='CID:logo%40example.com'>",
        "<img src=cid:logo@example.com>",
        "<p style='background: url(cid:logo@example.com)'>x</p>",
    ],
)
def test_a_mails_own_pictures_are_put_into_its_frame(mails: Mails, bob: Browser, html: str) -> None:
    (message,) = mails.arrive(with_picture(html))

    shown = frame_of(bob, message.id)

    assert f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}" in shown
    assert "cid:" not in shown.lower()


@pytest.mark.parametrize("html", ["<img src='cid:other@example.com'>", "<p>The acid:logo@example.com of words</p>"])
def test_what_is_no_picture_of_the_mail_stays_as_it_is(mails: Mails, bob: Browser, html: str) -> None:
    (message,) = mails.arrive(with_picture(html))

    assert html.strip() in frame_of(bob, message.id)


def test_a_drawing_is_no_picture_that_is_shown(mails: Mails, bob: Browser) -> None:
    """SVG holds scripts."""
    (message,) = mails.arrive(with_picture("<img src='cid:logo@example.com'>", subtype="svg+xml"))

    assert "data:" not in frame_of(bob, message.id)


def test_a_small_mail_cannot_make_a_page_without_end(
    mails: Mails, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_frame, "MOST_OCTETS", 20_000)
    (message,) = mails.arrive(with_picture("<img src='cid:logo@example.com'>" * 500))

    assert frame_of(bob, message.id).count("data:image/png") == 20


def test_the_frame_can_load_nothing_but_what_is_in_it(mails: Mails, bob: Browser) -> None:
    (message,) = mails.arrive(mail("Order"))

    policy = bob.get(f"/admin/messages/{message.id}/frame").headers["content-security-policy"]

    assert "sandbox;" in policy
    assert "img-src data:;" in policy
    assert "'self'" not in policy.replace("frame-ancestors 'self'", "")


def test_a_reading_is_written_down_once_with_its_frame(concord: Concord, mails: Mails, bob: Browser) -> None:
    (message,) = mails.arrive(with_picture("<b>Hello</b>"))

    bob.get(f"/admin/messages/{message.id}")
    frame_of(bob, message.id)

    assert readings(concord) == ["message.read"]


def test_a_frame_opened_by_itself_is_written_down_too(
    concord: Concord, mails: Mails, bob: Browser, alice: Browser
) -> None:
    (message,) = mails.arrive(with_picture("<b>Hello</b>"))

    alice.get(f"/admin/messages/{message.id}")
    frame_of(bob, message.id)
    frame_of(bob, message.id)

    assert [(one.actor, one.action) for one in concord.audit.entries() if one.action == "message.read"] == [
        ("bob", "message.read"),
        ("alice", "message.read"),
    ]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "filename*=UTF-8''passwd"),
        ("报价.pdf", "filename*=UTF-8''%E6%8A%A5%E4%BB%B7.pdf"),
        ('a"; x=1', "filename*=UTF-8''a_%3B%20x%3D1"),
    ],
)
def test_a_file_keeps_its_name_and_none_of_its_tricks(mails: Mails, bob: Browser, name: str, kept: str) -> None:
    made = EmailMessage()
    made["From"], made["Subject"] = "Ann <ann@example.com>", "File"
    made.set_content("see attached")
    made.add_attachment(b"<script>1</script>", maintype="text", subtype="html", filename=name)
    (message,) = mails.arrive(made.as_bytes().replace(b"\n", b"\r\n"))

    answer = bob.get(f"/admin/messages/{message.id}/attachments/0")

    assert answer.content == b"<script>1</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert kept in answer.headers["content-disposition"]
    assert "sandbox" in answer.headers["content-security-policy"]


def test_the_mail_is_had_as_it_came(mails: Mails, bob: Browser) -> None:
    raw = mail("Order")
    (message,) = mails.arrive(raw)

    assert bob.get(f"/admin/messages/{message.id}/raw").content == raw


def test_whoever_may_not_read_mails_gets_none_of_it(mails: Mails, carol: Browser) -> None:
    (message,) = mails.arrive(mail("Order", body="The secret words"))

    page = carol.get(f"/admin/messages/{message.id}")

    assert page.status_code == 200
    assert "The secret words" not in page.text
    assert carol.get(f"/admin/messages/{message.id}/frame").status_code == 403
    assert carol.get(f"/admin/messages/{message.id}/raw").status_code == 403


def test_links_are_told_and_not_followed(mails: Mails, bob: Browser) -> None:
    html = "<a href='https://pay.example/?a=1&amp;b=2'>Pay</a> <a href=#top>up</a><img src=https://track.example/p.png>"
    (message,) = mails.arrive(with_picture(html))

    page = bob.get(f"/admin/messages/{message.id}").text

    assert "https://pay.example/?a=1&amp;b=2" in page
    assert "<code>#top" not in page
    assert "pictures on other servers" in page
