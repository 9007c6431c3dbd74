"""The pages of rules: the list, the form and its mistakes, the order, and trying one before it is kept (U2, P18)."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.model.account import Account, Priority, StartKind, StartPoint
from concord.model.listing import MessagesWanted
from concord.model.rule import HandlerSpec, Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.web.rule_form import FIELDS, WORDS, document_of, given_of
from tests.factories import mail, sealed_in
from tests.fakes.archive import MemoryArchive
from tests.fakes.mailbox import MemoryMailboxes
from tests.fakes.queue import MemoryQueue
from tests.polling import poll_whole
from tests.web_world import Browser

LIST = "/admin/settings/rules"
NEW = f"{LIST}/new"
EVIL = "<script>alert(1)<script>"
FULL = Rule(
    name="orders",
    position=10,
    match=Match(
        account=("sales",),
        folder=("INBOX", "Jobs*"),
        from_=("*@example.com",),
        to=("bob@example.net",),
        cc=("re:^carol@",),
        subject=("order *", "[ACME]*"),
        header={"List-Id": ("*news*", "*orders*"), "X-Spam": ("no",)},
        larger=1000,
        smaller=10_000_000,
        attachment_name=("*.pdf",),
        attachment_type=("application/pdf",),
    ),
    priority=Priority.HIGH,
    handlers=("log", "crm"),
    workflows=("ticket",),
    stop=True,
)


@pytest.fixture(autouse=True)
def book(concord: Concord) -> None:
    """A handler and a workflow that rules may name."""
    concord.rulebook.save_handler(HandlerSpec(name="crm", kind="webhook", options={"url": "https://example.com/h"}))
    steps = (WorkflowStepSpec(name="open", kind="webhook", options={"url": "https://example.com/s"}),)
    concord.rulebook.save_workflow(WorkflowSpec(name="ticket", steps=steps))


@pytest.fixture
def mails(concord: Concord) -> None:
    """Three mails of sales and one of support, archived and processed."""
    mailboxes, archive = MemoryMailboxes(), MemoryArchive()
    vars(concord).update(sources=mailboxes, archive=archive, queue=MemoryQueue())
    for name, user, subjects in (("sales", "ann", ("Order 0", "Order 1", EVIL)), ("support", "ben", ("Help",))):
        mailboxes.add_user(user)
        plain = Account(name=name, host="mail.example.com", user=user, start=StartPoint(kind=StartKind.ALL))
        box = sealed_in(concord.vault, plain, "sesame")
        for subject in subjects:
            mailboxes.deliver(user, mail(subject, List_Id="<news.example.com>"))
        poll_whole(concord, concord.accounts.add(box).id)


def kept(concord: Concord, *some: Rule) -> list[Rule]:
    return [concord.rulebook.save_rule(rule) for rule in some]


def order(concord: Concord) -> list[str]:
    return [rule.name for rule in concord.rulebook.rules()]


def place_of(rule: Rule, verb: str = "") -> str:
    return f"{LIST}/{rule.id}{verb}"


def mark_of(page: str) -> str:
    found = re.search(r'name="mark" value="([^"]*)"', page)
    assert found
    return found[1]


def send(browser: Browser, place: str, page: str = NEW, **fields: Any) -> Response:
    """The form as a browser sends it, whatever stood in it before; a field of None is not sent."""
    given = {"name": "orders", "enabled": "1", "mark": mark_of(browser.get(page).text), **fields}
    return browser.submit(place, page, **{name: value for name, value in given.items() if value is not None})


def is_wrong(page: str, field: str) -> bool:
    """Whether a mistake stands at the field."""
    named = re.search(rf'<(?:input|textarea|select)[^>]* name="{field}"[^>]*aria-invalid="true"', page)
    return named is not None


# The list.


def test_without_rules_it_says_what_happens_then(bob: Browser) -> None:
    page = bob.get(LIST).text

    assert "No rules yet" in page
    assert f'href="{NEW}"' in page
    assert "an event goes to: log" in page


def test_the_list_says_in_words_what_each_means_and_does(bob: Browser, concord: Concord) -> None:
    kept(concord, FULL, Rule(name="rest", position=20, skip=True, enabled=False, match=Match(subject=("spam",))))

    page = bob.get(LIST).text

    for words in (
        "[ACME]*",
        "List-Id",
        "*.pdf",
        "1.0 kB",
        "Priority: high",
        "No later rule is asked",
        "nobody is told",
    ):
        assert words in page, words
    assert page.index("orders") < page.index("rest")
    assert 'href="/admin/settings/handlers/crm"' in page
    assert 'href="/admin/settings/workflows/ticket"' in page
    assert ">off<" in page


def test_every_condition_there_is_has_its_words() -> None:
    """A new one must not be left out of pages."""
    names = {name.rstrip("_") for name in Match.__dataclass_fields__}

    assert names <= FIELDS
    assert names <= set(WORDS)


def test_a_handler_that_is_off_is_told_where_a_rule_names_it(bob: Browser, concord: Concord) -> None:
    concord.rulebook.save_handler(HandlerSpec(name="crm", kind="webhook", options={"url": "x"}, enabled=False))
    (rule,) = kept(concord, Rule(name="a", handlers=("crm",)))

    assert "(off)" in bob.get(LIST).text
    assert "(off)" in bob.get(place_of(rule)).text


@pytest.mark.usefixtures("mails")
def test_it_says_what_matched_lately(bob: Browser, concord: Concord) -> None:
    kept(
        concord, Rule(name="orders", match=Match(subject=("order*",))), Rule(name="other", match=Match(to=("nobody",)))
    )
    ids = sorted(one.id for one in concord.lists.messages(MessagesWanted()).items)
    concord.processor.process(ids)

    page = bob.get(LIST).text

    assert "2 mails" in page
    assert "the last 4 mails" in page
    last = max(one.id for one in concord.lists.messages(MessagesWanted()).items if "Order" in (one.subject or ""))
    assert f'href="/admin/messages/{last}"' in page


def test_rules_are_moved_by_buttons(bob: Browser, concord: Concord) -> None:
    _, b, _ = kept(concord, Rule(name="a", position=1), Rule(name="b", position=2), Rule(name="c", position=3))

    bob.submit(place_of(b, "/move"), to="earlier")
    first = order(concord)
    bob.submit(place_of(b, "/move"), to="later")
    bob.submit(place_of(b, "/move"), to="later")

    assert first == ["b", "a", "c"]
    assert order(concord) == ["a", "c", "b"]
    page = bob.get(LIST).text
    assert "Ask 'a' later" in page
    assert "Ask 'a' earlier" not in page


def test_a_rule_is_switched_off_and_on(bob: Browser, concord: Concord) -> None:
    (rule,) = kept(concord, Rule(name="a"))

    assert "is off" in bob.submit(place_of(rule, "/disable")).text
    assert not concord.rulebook.rules()[0].enabled
    assert "is on" in bob.submit(place_of(rule, "/enable")).text
    assert concord.rulebook.rules()[0].enabled


def test_removing_asks_first_and_says_what_stays(bob: Browser, concord: Concord) -> None:
    (rule,) = kept(concord, FULL)

    asked = bob.get(place_of(rule, "/remove")).text
    assert "What stays" in asked
    assert order(concord) == ["orders"]

    assert "is removed" in bob.submit(place_of(rule, "/remove")).text
    assert order(concord) == []
    assert concord.audit.entries()[0].action == "rule.remove"


@pytest.mark.parametrize("place", ["/999", "/999/remove", "/new?copy=999"])
def test_what_is_not_there_is_told_so(bob: Browser, place: str) -> None:
    assert bob.get(f"{LIST}{place}").status_code == 404


@pytest.mark.parametrize("verb", ["", "/move", "/enable", "/disable", "/remove"])
def test_what_is_gone_meanwhile_is_told_so(bob: Browser, verb: str) -> None:
    assert bob.submit(f"{LIST}/999{verb}").status_code == 404


# The form.


def test_every_field_is_kept(bob: Browser, concord: Concord) -> None:
    answer = send(
        bob,
        LIST,
        subject="order *\r\n  [ACME]* \r\n\r\n",
        account="sales",
        folder="INBOX\nJobs*",
        to="bob@example.net",
        cc="re:^carol@",
        header="List-Id: *news*\nlist-id:*orders*\nX-Spam: no",
        larger="1000",
        smaller="10MB",
        attachment_name="*.pdf",
        attachment_type="application/pdf",
        priority="high",
        handlers=["log", "crm"],
        workflows="ticket",
        stop="1",
        **{"from": "*@example.com"},
    )

    assert "is added" in answer.text
    (rule,) = concord.rulebook.rules()
    assert rule == replace(FULL, id=rule.id)


def test_what_the_form_shows_of_a_rule_is_what_it_keeps(bob: Browser, concord: Concord) -> None:
    (rule,) = kept(concord, FULL)
    given = given_of(rule)

    document, mistakes = document_of(given, rule.position)
    page = html.unescape(bob.get(place_of(rule)).text)

    assert mistakes == []
    assert document["match"]["header"] == {"List-Id": ["*news*", "*orders*"], "X-Spam": ["no"]}
    for text in given.texts.values():
        assert text in page


def test_a_new_rule_is_asked_last_and_without_conditions_means_every_mail(bob: Browser, concord: Concord) -> None:
    kept(concord, Rule(name="a", position=30))

    send(bob, LIST, name="last", enabled=None)

    assert order(concord) == ["a", "last"]
    last = concord.rulebook.rules()[1]
    assert (last.match, last.enabled) == (Match(), False)
    assert "every mail" in bob.get(LIST).text


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"name": ""}, "name", "A rule has no name"),
        ({"name": "a/b"}, "name", "cannot have this name"),
        ({"name": "x" * 101}, "name", "cannot have this name"),
        ({"from": "re:(("}, "from", "‘re:((’: A pattern is not a regular expression"),
        ({"to": "re:[a"}, "to", "not a regular expression"),
        ({"cc": "re:a{99999999}"}, "cc", "repeats something too often"),
        ({"subject": "fine\n" + "x" * 1001}, "subject", "A pattern is too long"),
        ({"account": "re:*"}, "account", "not a regular expression"),
        ({"folder": "re:*"}, "folder", "not a regular expression"),
        ({"attachment_name": "re:*"}, "attachment_name", "not a regular expression"),
        ({"attachment_type": "re:*"}, "attachment_type", "not a regular expression"),
        ({"header": "List-Id"}, "header", "‘List-Id’: This cannot be a header&#39;s condition"),
        ({"header": "List-Id:"}, "header", "Write it as &#39;List-Id: *news*&#39;"),
        ({"header": ": x"}, "header", "A header name cannot be one"),
        ({"header": "List Id: x"}, "header", "A header name cannot be one"),
        ({"header": "X: re:("}, "header", "not a regular expression"),
        ({"larger": "big"}, "larger", "a size is a number of octets, or like 500kB"),
        ({"smaller": "1 parsec"}, "smaller", "a size is a number of octets"),
        ({"larger": "9" * 30}, "larger", "bigger than any mail"),
        ({"larger": "-1"}, "larger", "A size is negative"),
        ({"larger": "2MB", "smaller": "1MB"}, "smaller", "No mail has such a size"),
        ({"priority": "urgent"}, "priority", "it is high, normal or low"),
        ({"handlers": "nobody"}, "handlers", "names a handler that does not exist"),
        ({"workflows": "nothing"}, "workflows", "names a workflow that does not exist"),
    ],
)
def test_a_mistake_is_told_at_its_field(
    bob: Browser, concord: Concord, fields: dict[str, str], field: str, words: str
) -> None:
    answer = send(bob, LIST, **fields)

    assert answer.status_code == 422
    assert is_wrong(answer.text, field)
    assert words in answer.text
    others = FIELDS - {field, "skip"}
    assert not [name for name in others if is_wrong(answer.text, name)]
    assert order(concord) == []
    if field not in ("handlers", "workflows", "priority"):
        assert html.escape(fields[field].splitlines()[0] if fields[field] else "", quote=False) in answer.text


def test_skipping_every_mail_needs_to_be_meant(bob: Browser, concord: Concord) -> None:
    refused = send(bob, LIST, skip="1")
    assert refused.status_code == 422
    assert "write * for the mailbox" in refused.text

    send(bob, LIST, skip="1", account="*")
    assert concord.rulebook.rules()[0].skip


def test_all_mistakes_are_told_at_once(bob: Browser) -> None:
    answer = send(bob, LIST, name="", subject="re:(\nre:[", header="x", larger="y", handlers="z")

    for field in ("name", "subject", "header", "larger", "handlers"):
        assert is_wrong(answer.text, field), field
    assert "‘re:(’" in answer.text
    assert "‘re:[’" in answer.text


def test_a_position_that_has_no_field_is_told_above_the_form(bob: Browser, concord: Concord) -> None:
    """There is one at the very end already: the new one stands beside it."""
    kept(concord, Rule(name="a", position=2**31 - 1))

    assert "is added" in send(bob, LIST, name="b").text


def test_a_name_that_is_taken_is_told_at_the_name(bob: Browser, concord: Concord) -> None:
    a, _ = kept(concord, Rule(name="a"), Rule(name="b"))

    for answer in (send(bob, LIST, name="b"), send(bob, place_of(a), place_of(a), name="b")):
        assert answer.status_code == 422
        assert is_wrong(answer.text, "name")
        assert "There is a rule of that name already. Take another name." in answer.text
    assert order(concord) == ["a", "b"]


def test_a_rule_is_changed_and_renamed_in_its_place(bob: Browser, concord: Concord) -> None:
    a, _ = kept(concord, Rule(name="a", position=5), Rule(name="b", position=6))

    answer = send(bob, place_of(a), place_of(a), name="z", subject="*x*")

    assert "is changed" in answer.text
    assert order(concord) == ["z", "b"]
    assert (concord.rulebook.rules()[0].id, concord.rulebook.rules()[0].match.subject) == (a.id, ("*x*",))


def test_what_somebody_else_changed_meanwhile_is_not_overwritten_unseen(bob: Browser, concord: Concord) -> None:
    (rule,) = kept(concord, Rule(name="a"))
    mark = mark_of(bob.get(place_of(rule)).text)
    concord.rulebook.save_rule(Rule(name="a", handlers=("crm",)))

    answer = send(bob, place_of(rule), place_of(rule), mark=mark, name="a", subject="mine")
    assert answer.status_code == 409
    assert "Somebody else changed this rule" in answer.text
    assert concord.rulebook.rules()[0].handlers == ("crm",)

    send(bob, place_of(rule), place_of(rule), mark=mark_of(answer.text), name="a", subject="mine")
    assert concord.rulebook.rules()[0].match.subject == ("mine",)


def test_a_copy_wants_a_name_of_its_own(bob: Browser, concord: Concord) -> None:
    (rule,) = kept(concord, FULL)

    page = bob.get(f"{NEW}?copy={rule.id}").text

    assert "[ACME]*" in page
    assert 'name="name" type="text" value=""' in page


# Trying.


@pytest.mark.usefixtures("mails")
def test_a_rule_that_is_not_kept_is_tried(bob: Browser, concord: Concord) -> None:
    answer = send(bob, f"{LIST}/try", name="", subject="order 1*", priority="high", handlers="crm", last="10")

    assert answer.status_code == 200
    assert "It means 1 of 4 mails." in answer.text
    assert "For 1 something would be different" in answer.text
    assert "Priority: high" in answer.text
    assert "no: Subject" in answer.text
    assert 'name="subject" rows="2"' in answer.text
    assert "order 1*" in answer.text
    assert order(concord) == []
    assert concord.outbox.deliveries() == []


@pytest.mark.usefixtures("mails")
def test_it_is_tried_on_one_mailbox_or_one_mail(bob: Browser, concord: Concord) -> None:
    number = concord.lists.messages(MessagesWanted()).items[0].id

    assert "It means 1 of 1 mail." in send(bob, f"{LIST}/try", of_account="support").text
    one = send(bob, f"{LIST}/try", message=str(number), header="List-Id: *sport*").text
    assert "It means 0 of 1 mail." in one
    assert "no: List-Id" in one
    missing = send(bob, f"{LIST}/try", message="999999").text
    assert "There is no such message" in missing
    assert "There is no such account" in send(bob, f"{LIST}/try", of_account="nobody").text


@pytest.mark.usefixtures("mails")
def test_the_rule_is_tried_in_place_of_the_one_that_it_changes(bob: Browser, concord: Concord) -> None:
    before, _ = kept(concord, Rule(name="a", handlers=("crm",)), Rule(name="b", priority=Priority.LOW))
    place = place_of(before)

    same = send(bob, f"{LIST}/try", place, rule_id=str(before.id), name="a", handlers="crm").text
    other = send(bob, f"{LIST}/try", place, rule_id=str(before.id), name="a", handlers="crm", subject="Help").text

    assert "Nothing would be different" in same
    assert "For 3 something would be different" in other
    assert f'action="{place}"' in other


@pytest.mark.usefixtures("mails")
def test_a_name_of_another_rule_does_not_take_that_one_out(bob: Browser, concord: Concord) -> None:
    kept(concord, Rule(name="b", position=1, priority=Priority.LOW))

    assert "Nothing would be different" in send(bob, f"{LIST}/try", name="b", subject="Help").text


@pytest.mark.usefixtures("mails")
def test_with_javascript_the_answer_stands_beside_the_form(bob: Browser) -> None:
    page = bob.get(NEW)
    token = re.search(r'name="csrf" value="([^"]*)"', page.text)
    assert token
    fields = {"csrf": token[1], "subject": "order*", "name": ""}

    answer = bob.post(f"{LIST}/try", data=fields, headers={"HX-Request": "true"})
    wrong = bob.post(f"{LIST}/try", data={**fields, "to": "re:("}, headers={"HX-Request": "true"})

    assert "<html" not in answer.text
    assert "It means 2 of 4 mails." in answer.text
    assert wrong.status_code == 200
    assert "cannot be tried as it is" in wrong.text
    assert "‘re:(’" in wrong.text


def test_a_form_with_mistakes_is_not_tried(bob: Browser) -> None:
    answer = send(bob, f"{LIST}/try", subject="re:(")

    assert answer.status_code == 422
    assert is_wrong(answer.text, "subject")


@pytest.mark.usefixtures("mails")
def test_a_pattern_that_takes_too_long_is_told(bob: Browser, concord: Concord) -> None:
    slow = "re:(a|aa)+$"
    concord.sources.deliver("ben", mail("a" * 60 + "!"))  # type: ignore[attr-defined]  # the twin in memory
    poll_whole(concord, concord.accounts.get("support").id, forced=True)

    answer = send(bob, f"{LIST}/try", of_account="support", subject=slow)

    assert answer.status_code == 200
    assert "took too long" in html.unescape(answer.text)


def test_without_archived_mails_it_says_so(bob: Browser) -> None:
    assert "no archived mails to try it on" in send(bob, f"{LIST}/try").text


# Markup.


@pytest.mark.usefixtures("mails")
def test_hostile_names_patterns_and_subjects_are_text(bob: Browser, concord: Concord) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    rule = Rule(name=EVIL, match=Match(subject=(evil, "</textarea>" + EVIL), header={"X": (evil,)}), handlers=("log",))
    (rule,) = kept(concord, rule)

    tried = {"rule_id": str(rule.id), "name": EVIL, "from": f"re:({evil}", "larger": evil, "priority": evil}
    pages = [
        bob.get(LIST).text,
        bob.get(place_of(rule)).text,
        bob.get(place_of(rule, "/remove")).text,
        send(bob, place_of(rule), place_of(rule), **tried).text,
        send(bob, f"{LIST}/try", place_of(rule), rule_id=str(rule.id), name=EVIL, message=evil, of_account=evil).text,
        send(bob, f"{LIST}/try", place_of(rule), rule_id=str(rule.id), name=EVIL, subject=evil).text,
        bob.submit(place_of(rule, "/disable")).text,
    ]

    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert html.escape(EVIL, quote=False) in page


# Who may.


@pytest.mark.parametrize("verb", ["", "/move", "/enable", "/disable", "/remove"])
def test_a_viewer_changes_nothing(carol: Browser, concord: Concord, verb: str) -> None:
    (rule,) = kept(concord, Rule(name="a"))

    assert carol.submit(place_of(rule, verb), to="later").status_code == 403
    assert carol.submit(f"{LIST}/try").status_code == 403
    assert concord.rulebook.rules() == [rule]


def test_a_viewer_sees_the_rules_and_no_buttons(carol: Browser, concord: Concord) -> None:
    (rule,) = kept(concord, FULL)

    page = carol.get(LIST).text

    assert "[ACME]*" in page
    for words in ("Add a rule", "Switch off", place_of(rule)):
        assert words not in page
    for place in (NEW, place_of(rule), place_of(rule, "/remove")):
        assert carol.get(place).status_code == 403


def test_a_stranger_sees_nothing(mallory: Browser) -> None:
    assert mallory.get(LIST).url.path == "/admin/login"
