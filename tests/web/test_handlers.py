"""Handlers on pages and through the API: added, tried, switched, removed; what is secret is shown once (U2, P8)."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.errors import SecretKeyError
from concord.model.binding import of_handler
from concord.model.rule import HandlerSpec, Match, Rule
from concord.model.user import Permission
from concord.ports import RedisMemory
from tests.factories import sealed_for
from tests.fakes.handlers import SentTasks, public
from tests.unit.handlers.installed import install
from tests.web_world import Browser, token_of

LIST = "/admin/settings/handlers"
NEW = f"{LIST}?add=webhook"
API = "/api/v1/handlers"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example.com/T0/secret-path"
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a?b#c&d=e",
    "50%",
    "new",
    "try",
    "名称 ☃",
    'it\'s "so"',
    "{{ 7*7 }}",
    "%(name)s",
]
MADE = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


@pytest.fixture(autouse=True)
def tasks(concord: Concord) -> SentTasks:
    """Names are resolved without a network; tasks that are started are kept."""
    made = SentTasks()
    vars(concord)["tools"] = replace(
        concord.tools, resolve=public, send_task=made, memory=lambda: RedisMemory(used=0, limit=0)
    )
    return made


@pytest.fixture
def crm(concord: Concord) -> HandlerSpec:
    """A webhook with a secret and a header."""
    options = {"url": URL, "headers": {"X-Key": "open-sesame"}}
    handler = HandlerSpec(name="crm", kind="webhook", options=options)
    return concord.rulebook.save_handler(sealed_for(concord.vault, handler, SECRET))


def place(name: str, verb: str = "") -> str:
    return f"{LIST}/{quote(name, safe='')}{verb}"


def add(browser: Browser, page: str = NEW, to: str = LIST, **fields: Any) -> Response:
    given = {"kind": "webhook", "name": "crm", "url": URL, "signing": "none", "enabled": "1", **fields}
    return browser.submit(to, page, **given)


def told_at(page: Response, field: str) -> str:
    """What stands beside a field that is wrong."""
    found = re.search(rf'<p id="h-{field}" class="help"><strong>(.*?)</strong>', page.text)
    return html.unescape(found[1]) if found else ""


def secret_of(concord: Concord, name: str = "crm") -> str:
    (spec,) = (one for one in concord.rulebook.handlers() if one.name == name)
    return concord.vault.unseal(spec.secret, of_handler(spec)) if spec.secret else ""


# The list.


def test_the_list_has_all_with_where_they_lead_and_no_token(carol: Browser, concord: Concord, crm: HandlerSpec) -> None:
    concord.rulebook.save_handler(HandlerSpec(name="bare", kind="webhook", options={"url": "https://x.example.com/"}))
    concord.rulebook.save_rule(Rule(name="orders", match=Match(subject=("*",)), handlers=("crm",)))

    page = carol.get(LIST).text

    assert "https://hooks.example.com/…" in page
    assert "secret-path" not in page
    assert "open-sesame" not in page
    assert page.count("not signed") == 1
    assert "built in" not in page
    assert 'href="/admin/settings/handlers/log"' in page
    assert "and all other mail" in page
    assert "?add=" not in page


@pytest.mark.parametrize("kind", ["webhook", "redis-stream", "celery", "log"])
def test_there_is_a_form_for_every_kind(bob: Browser, kind: str) -> None:
    assert f'value="{kind}"' in bob.get(f"{LIST}?add={kind}").text


def test_what_is_no_kind_leads_to_the_list(bob: Browser, carol: Browser) -> None:
    assert "Where events go" in bob.get(f"{LIST}?add=<x>").text
    assert "Where events go" in carol.get(NEW).text


# Adding.


def test_a_webhook_is_added_with_a_secret_that_is_shown_once(bob: Browser, concord: Concord) -> None:
    made = add(bob, signing="new", headers="X-Team: sales", timeout="5")

    shown = MADE.findall(made.text)
    assert shown == [secret_of(concord)]
    assert not MADE.search(bob.get(place("crm")).text)
    assert not MADE.search(bob.get(place("crm", "/edit")).text)
    (spec,) = concord.rulebook.handlers()
    assert spec.options == {"url": URL, "headers": {"X-Team": "sales"}, "timeout": 5}
    assert shown[0] not in "".join(f"{entry.subject} {entry.detail}" for entry in concord.audit.entries())


def test_a_secret_of_ones_own_is_kept_and_not_shown_again(bob: Browser, concord: Concord) -> None:
    kept = add(bob, signing="own", secret=f" {SECRET} ")
    assert secret_of(concord) == SECRET
    assert SECRET not in kept.text

    wrong = add(bob, name="other", signing="own", secret="whsec_short")
    assert "cannot be used" in told_at(wrong, "secret")
    assert "whsec_short" not in wrong.text


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"name": ""}, "name", "no name"),
        ({"name": "a/b"}, "name", "cannot have this name"),
        ({"name": ".."}, "name", "cannot have this name"),
        ({"url": ""}, "url", "This is needed."),
        ({"url": "hooks.example.com"}, "url", "begins with https://"),
        ({"url": "https://u:p@hooks.example.com/"}, "url", "must not hold a user or password"),
        ({"url": "http://127.0.0.1:6379/"}, "url", "webhook.allow_networks"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url", "webhook.allow_networks"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "url", "webhook.allow_networks"),
        ({"url": "http://db.internal/"}, "url", "webhook.allow_networks"),
        ({"headers": "no colon"}, "headers", "is no header"),
        ({"headers": "A: 1\na: 2"}, "headers", "stands there twice"),
        ({"headers": "Host: elsewhere"}, "headers", "set by Concord itself"),
        ({"headers": "Webhook-Id: 1"}, "headers", "set by Concord itself"),
        ({"headers": "X-A: ☃"}, "headers", "HTTP forbids"),
        ({"headers": "X-A: …"}, "headers", "has no value"),
        ({"timeout": "soon"}, "timeout", "not a number"),
        ({"timeout": "121"}, "timeout", "the limit is 120"),
        ({"timeout": "1e309"}, "timeout", "too big"),
        ({"kind": "redis-stream", "maxlen": "0"}, "maxlen", "the limit is 1"),
        ({"kind": "redis-stream", "remember": "1.5"}, "remember", "not a whole number"),
        ({"kind": "celery", "task": "", "queue": "crm"}, "task", "This is needed."),
        ({"kind": "celery", "task": "a.b", "queue": "email"}, "queue", "Concord's own"),
        ({"kind": "celery", "task": "a.b", "queue": "q", "max_bytes": "1"}, "max_bytes", "the limit is 1024"),
    ],
)
def test_mistakes_stand_at_their_fields(
    bob: Browser, concord: Concord, fields: Mapping[str, str], field: str, said: str
) -> None:
    answer = add(bob, **fields)

    assert answer.status_code == 422
    assert said in told_at(answer, field)
    assert concord.rulebook.handlers() == []


def test_a_name_that_is_taken_is_told_at_its_field(bob: Browser, crm: HandlerSpec) -> None:
    assert "There is a handler of that name already" in told_at(add(bob), "name")


def test_what_is_no_kind_is_not_kept(bob: Browser, concord: Concord) -> None:
    answer = add(bob, kind="shell", options="{}")

    assert answer.status_code == 422
    assert "no such kind of handler" in answer.text
    assert concord.rulebook.handlers() == []


def test_other_packages_kinds_are_told_json(bob: Browser, concord: Concord, tmp_path: Path, monkeypatch: Any) -> None:
    install(tmp_path, monkeypatch, {"concord.handlers": {"acme": "tests.unit.handlers.plugin_package:make"}})
    page = f"{LIST}?add=acme"

    for wrong in ("{", "[1]", '{"a": NaN}', '{"a": "\\ud800"}', '{"a": "\\u0000"}', "[" * 5000):
        assert "not a JSON object" in told_at(add(bob, page, kind="acme", options=wrong), "options")
    add(bob, page, kind="acme", options='{"colour": "green"}', secret="its own words")

    (spec,) = concord.rulebook.handlers()
    assert spec.options == {"colour": "green"}
    assert secret_of(concord) == "its own words"
    assert "its own words" not in bob.get(place("crm")).text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_any_kind_are_text_and_have_their_page(bob: Browser, concord: Concord, name: str) -> None:
    kept = add(bob, name=name)

    assert [spec.name for spec in concord.rulebook.handlers()] == [name]
    for page in (kept, bob.get(LIST), *(bob.get(place(name, verb)) for verb in ("", "/edit", "/remove"))):
        assert page.status_code == 200
        assert "<img" not in page.text.partition("<main")[2]
        assert html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text
    assert "gets no events" in bob.submit(place(name, "/disable"), place(name)).text
    assert "is removed" in bob.submit(place(name, "/remove"), place(name)).text


# Changing.


def test_the_form_shows_the_url_and_no_headers_values(bob: Browser, crm: HandlerSpec) -> None:
    page = bob.get(place("crm", "/edit")).text

    assert URL in page
    assert "X-Key: …" in page
    assert "open-sesame" not in page
    assert SECRET not in page


def mark_of(page: Response) -> str:
    found = re.search(r'name="mark" value="([0-9a-f]+)"', page.text)
    assert found
    return found[1]


def edit(browser: Browser, **fields: Any) -> Response:
    shown = browser.get(place("crm", "/edit"))
    given = {"url": URL, "headers": "X-Key: …", "enabled": "1", "mark": mark_of(shown), **fields}
    return browser.submit(place("crm", "/edit"), place("crm", "/edit"), **given)


def test_what_is_not_shown_stays(bob: Browser, concord: Concord, crm: HandlerSpec) -> None:
    assert "is changed" in edit(bob, url=URL + "/2", headers="X-Key: …\nX-Team: sales").text

    (spec,) = concord.rulebook.handlers()
    assert spec.options == {"url": URL + "/2", "headers": {"X-Key": "open-sesame", "X-Team": "sales"}}
    assert secret_of(concord) == SECRET


def test_another_receiver_gets_no_header_of_the_one_before(bob: Browser, concord: Concord, crm: HandlerSpec) -> None:
    answer = edit(bob, url="https://evil.example.com/")

    assert "The receiver is another one" in told_at(answer, "headers")
    assert "open-sesame" not in answer.text
    assert concord.rulebook.handlers() == [crm]


def test_what_somebody_else_changed_is_not_overwritten(bob: Browser, concord: Concord, crm: HandlerSpec) -> None:
    answer = edit(bob, mark="0123456789abcdef", url=URL + "/2")

    assert answer.status_code == 409
    assert "Somebody else changed this handler" in answer.text
    assert concord.rulebook.handlers() == [crm]


# Secrets.


def test_secrets_change_without_a_gap_and_are_shown_once(bob: Browser, concord: Concord, crm: HandlerSpec) -> None:
    made = bob.submit(place("crm", "/secret"), place("crm"), keep="1")

    (fresh,) = MADE.findall(made.text)
    assert secret_of(concord) == f"{fresh} {SECRET}"
    assert SECRET not in made.text
    assert "with 2 secrets" in bob.get(place("crm")).text
    assert "newest secret alone" in bob.submit(place("crm", "/secret/forget"), place("crm")).text
    assert secret_of(concord) == fresh

    assert "is changed" in bob.submit(place("crm", "/secret/own"), place("crm"), secret=SECRET).text
    assert secret_of(concord) == SECRET
    wrong = bob.submit(place("crm", "/secret/own"), place("crm"), secret="hunter2-hunter2")
    assert wrong.status_code == 422
    assert "Let Concord make one" in told_at(wrong, "secret")
    assert "hunter2" not in wrong.text


def test_what_takes_no_secret_is_offered_none(bob: Browser) -> None:
    assert "Make a secret" not in bob.get(place("log")).text
    assert bob.submit(place("log", "/secret"), place("log")).status_code == 422


def test_a_page_is_there_when_the_key_is_not(bob: Browser, concord: Concord, crm: HandlerSpec) -> None:
    def no_key(_sealed: bytes, _where: bytes) -> str:
        raise SecretKeyError("none")

    vars(concord)["vault"] = type("Gone", (), {"unseal": staticmethod(no_key), "seal": staticmethod(no_key)})()

    page = bob.get(place("crm"))

    assert page.status_code == 200
    assert "concord secrets check" in page.text


# Trying.


def test_a_sample_is_sent_and_what_came_of_it_is_shown(bob: Browser, concord: Concord, tasks: SentTasks) -> None:
    concord.rulebook.save_handler(HandlerSpec(name="crm", kind="celery", options={"task": "crm.take", "queue": "crm"}))

    page = bob.submit(place("crm", "/test"), place("crm"))

    assert "The handler took the event." in page.text
    assert [(name, queue) for name, _, queue, _ in tasks.sent] == [("crm.take", "crm")]
    tasks.down = True
    failed = bob.submit(place("crm", "/test"), place("crm"))
    assert "Redis did not answer" in failed.text
    assert "What to do" in failed.text


def test_what_the_form_says_is_tried_and_not_kept(bob: Browser, concord: Concord, tasks: SentTasks) -> None:
    fields = {"kind": "celery", "task": "crm.take", "queue": "crm", "name": "", "url": ""}

    page = add(bob, f"{LIST}?add=celery", f"{LIST}/try", **fields)

    assert "The handler took the event." in page.text
    assert 'value="crm.take"' in page.text
    assert len(tasks.sent) == 1
    assert concord.rulebook.handlers() == []
    wrong = add(bob, f"{LIST}?add=celery", f"{LIST}/try", **fields | {"task": ""})
    assert "This is needed." in told_at(wrong, "task")
    assert len(tasks.sent) == 1


def test_a_private_address_is_not_tried(bob: Browser) -> None:
    answer = add(bob, to=f"{LIST}/try", url="http://127.0.0.1:6379/")

    assert "webhook.allow_networks" in told_at(answer, "url")


@pytest.mark.parametrize("event", ["nonsense", "0b1c7a52-0d8e-5a4b-9d0b-6f2a3f1d9f10", "1" * 2000])
def test_an_event_that_is_none_is_told_so(bob: Browser, concord: Concord, tasks: SentTasks, event: str) -> None:
    concord.rulebook.save_handler(HandlerSpec(name="crm", kind="celery", options={"task": "crm.take", "queue": "crm"}))

    answer = bob.submit(place("crm", "/test"), place("crm"), event_id=event)

    assert answer.status_code in (404, 422)
    assert "no event" in answer.text or "no such event" in answer.text.lower()
    assert tasks.sent == []


# Removing and switching.


def test_a_handler_that_rules_name_stays_and_the_rules_are_linked(
    bob: Browser, concord: Concord, crm: HandlerSpec
) -> None:
    rule = concord.rulebook.save_rule(Rule(name="<b>orders", match=Match(subject=("*",)), handlers=("crm",)))

    for page in (bob.get(place("crm", "/remove")), bob.submit(place("crm", "/remove"), place("crm"))):
        assert f'href="/admin/settings/rules/{rule.id}"' in page.text
        assert "&lt;b&gt;orders" in page.text
        assert "Remove the handler" not in page.text
    assert page.status_code == 409
    assert concord.rulebook.handlers() == [crm]


def test_what_is_built_in_is_switched_off_and_back_on(bob: Browser, concord: Concord) -> None:
    assert bob.submit(place("log", "/remove"), place("log")).status_code == 409
    assert "gets no events" in bob.submit(place("log", "/disable"), place("log")).text
    assert [spec.enabled for spec in concord.rulebook.handlers()] == [False]
    assert "from now on" in bob.submit(place("log", "/enable"), place("log")).text


@pytest.mark.parametrize("verb", ["", "/edit", "/remove"])
def test_what_is_not_there_is_told_so(bob: Browser, verb: str) -> None:
    assert bob.get(place("nobody", verb)).status_code == 404


def test_a_viewer_sees_and_changes_nothing(carol: Browser, concord: Concord, crm: HandlerSpec) -> None:
    page = carol.get(place("crm")).text

    assert "https://hooks.example.com/…" in page
    assert "secret-path" not in page
    assert "<button" not in page.partition("<main")[2]
    assert carol.get(place("crm", "/edit")).status_code == 403
    for verb in ("/edit", "/try", "/test", "/enable", "/disable", "/remove", "/secret", "/secret/own"):
        assert carol.submit(place("crm", verb), url=URL).status_code == 403
    assert add(carol, "/admin/profile").status_code == 403
    assert concord.rulebook.handlers() == [crm]


# The API.


def wanted(**changes: Any) -> dict[str, Any]:
    return {"name": "crm", "kind": "webhook", "options": {"url": URL, "headers": {"X-Key": "open-sesame"}}, **changes}


def test_a_handlers_life_through_the_api(mallory: Browser, concord: Concord) -> None:
    header = token_of(concord, "bob")

    made = mallory.post(API, headers=header, json=wanted(make_secret=True))
    assert made.status_code == 201
    assert made.json()["secret"] == secret_of(concord)
    shown = mallory.get(f"{API}/crm", headers=header)
    assert shown.json() == {
        "name": "crm",
        "kind": "webhook",
        "options": {"url": URL, "headers": {"X-Key": "…"}},
        "enabled": True,
        "has_secret": True,
        "rules": [],
    }
    assert mallory.post(API, headers=header, json=wanted()).status_code == 409

    # What was told may come back.
    back = {key: shown.json()[key] for key in ("kind", "options", "enabled")}
    changed = mallory.put(f"{API}/crm", headers=header, json=back | {"enabled": False})
    assert (changed.status_code, changed.json()["enabled"]) == (200, False)
    (spec,) = concord.rulebook.handlers()
    assert spec.options["headers"] == {"X-Key": "open-sesame"}
    assert mallory.post(f"{API}/crm/enable", headers=header).json()["enabled"]
    assert not mallory.post(f"{API}/crm/disable", headers=header).json()["enabled"]

    fresh = mallory.post(f"{API}/crm/secret", headers=header).json()
    assert (fresh["in_use"], secret_of(concord).split()[0]) == (2, fresh["secret"])
    assert mallory.post(f"{API}/crm/secret/forget-old", headers=header).status_code == 200
    assert secret_of(concord) == fresh["secret"]
    assert [one["name"] for one in mallory.get(API, headers=header).json()["items"]] == ["log", "crm"]
    assert mallory.delete(f"{API}/crm", headers=header).status_code == 204
    assert mallory.get(f"{API}/crm", headers=header).status_code == 404


def test_the_api_tells_every_mistake_with_its_place(mallory: Browser, concord: Concord) -> None:
    options = {"url": "http://127.0.0.1/", "headers": {"Host": "x"}, "timeout": 0, "colour": "green"}

    answer = mallory.post(API, headers=token_of(concord, "bob"), json=wanted(name="a/b", options=options))

    assert answer.status_code == 422
    places = {one["pointer"] for one in answer.json()["errors"]}
    assert places == {"/name", "/options/url", "/options/headers", "/options/timeout", "/options/colour"}
    private = mallory.post(API, headers=token_of(concord, "bob"), json=wanted(options={"url": "http://10.1.2.3/"}))
    (one,) = private.json()["errors"]
    assert one["pointer"] == "/options/url"
    assert "webhook.allow_networks" in one["detail"]


def test_a_secret_is_made_where_one_is_of_use(mallory: Browser, concord: Concord) -> None:
    header = token_of(concord, "bob")

    for body in (wanted(make_secret=True, secret=SECRET), {"name": "x", "kind": "log", "make_secret": True}):
        assert mallory.post(API, headers=header, json=body).status_code == 422
    wrong = mallory.post(API, headers=header, json=wanted(secret="hunter2"))
    assert [one["pointer"] for one in wrong.json()["errors"]] == ["/secret"]
    assert "hunter2" not in wrong.text
    assert concord.rulebook.handlers() == []


@pytest.mark.parametrize(
    "value",
    [
        '"\\ud800"',
        '"\\u0000"',
        "1e999",
        "NaN",
        f'"{"x" * 30_000}"',
        '{"a":' * 21 + "0" + "}" * 21,
        "[" * 300 + "]" * 300,
    ],
)
def test_what_no_database_keeps_is_refused(
    mallory: Browser, concord: Concord, tmp_path: Path, monkeypatch: Any, value: str
) -> None:
    install(tmp_path, monkeypatch, {"concord.handlers": {"acme": "tests.unit.handlers.plugin_package:make"}})
    header = token_of(concord, "bob") | {"Content-Type": "application/json"}

    answer = mallory.post(API, headers=header, content=f'{{"name": "x", "kind": "acme", "options": {{"a": {value}}}}}')

    assert answer.status_code == 422
    assert concord.rulebook.handlers() == []


def test_what_a_token_may_not_it_does_not(
    mallory: Browser, concord: Concord, crm: HandlerSpec, tasks: SentTasks
) -> None:
    reader = token_of(concord, "bob", Permission.READ)
    operator = token_of(concord, "bob", Permission.OPERATE)

    assert mallory.get(f"{API}/crm", headers=reader).json()["options"]["url"] == "https://hooks.example.com/…"
    calls: Sequence[tuple[str, str]] = [
        ("POST", ""), ("PUT", "/crm"), ("DELETE", "/crm"), ("POST", "/crm/enable"), ("POST", "/crm/disable"),
        ("POST", "/crm/test"), ("POST", "/crm/secret"), ("POST", "/crm/secret/forget-old"),
    ]  # fmt: skip
    for verb, path in calls:
        assert mallory.request(verb, API + path, headers=reader).status_code == 403
    event = {"event": "0b1c7a52-0d8e-5a4b-9d0b-6f2a3f1d9f10"}
    unread = mallory.post(f"{API}/crm/test", headers=operator, json=event)
    assert (unread.status_code, unread.json()["facts"]) == (403, {"needed": "mail"})
    both = token_of(concord, "bob", Permission.OPERATE, Permission.MAIL)
    assert mallory.post(f"{API}/crm/test", headers=both, json=event).status_code == 404


def test_a_trial_through_the_api_says_what_came_of_it(mallory: Browser, concord: Concord, tasks: SentTasks) -> None:
    concord.rulebook.save_handler(HandlerSpec(name="crm", kind="celery", options={"task": "crm.take", "queue": "crm"}))
    header = token_of(concord, "bob", Permission.OPERATE)

    done = mallory.post(f"{API}/crm/test", headers=header).json()
    assert (done["delivered"], done["error"], done["facts"]["task"]) == (True, None, "crm.take")
    tasks.down = True
    failed = mallory.post(f"{API}/crm/test", headers=header | {"Accept-Language": "zh-CN"})
    assert (failed.status_code, failed.json()["delivered"]) == (200, False)
    assert failed.json()["error"]["type"] == "queue_down"
    assert "Redis" in failed.json()["error"]["remedy"]


def test_a_handler_that_rules_name_is_not_removed_by_the_api(
    mallory: Browser, concord: Concord, crm: HandlerSpec
) -> None:
    concord.rulebook.save_rule(Rule(name="orders", match=Match(subject=("*",)), handlers=("crm",)))

    answer = mallory.delete(f"{API}/crm", headers=token_of(concord, "bob"))

    assert (answer.status_code, answer.json()["facts"]["rules"]) == (409, "orders")
