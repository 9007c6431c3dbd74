"""Flower behind the site's login: its pages turned to our addresses, and nothing of the visitor's handed on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from concord.bootstrap import Concord
from concord.settings import FlowerSettings
from concord.web.flower import PLACE, policy, turned
from tests.web_world import Browser, web_concord

PAGE = b"""<html><link rel="icon" href="/static/favicon.ico?v=1"><script src="/static/js/flower.js?v=2"></script>
<a href="https://flower.readthedocs.io/">Docs</a><a href="//elsewhere.example/">x</a><a href="/tasks">Tasks</a>
<input type="hidden" value="" id="url_prefix"><p>The path /tasks stays in text</p>
<script type="text/javascript">
  var autorefresh = 1;
</script></html>"""


@pytest.fixture
def concord(tmp_path: Path) -> Iterator[Concord]:
    flower = FlowerSettings(port=5999, user="concord", password=SecretStr("s3cret"))
    with web_concord(tmp_path, flower=flower) as concord:
        yield concord


class Behind:
    """Flower as the site sees it."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _request: httpx.Response(
            200, content=PAGE, headers={"Content-Type": "text/html; charset=UTF-8", "Set-Cookie": "_xsrf=2|x; Path=/"}
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)


@pytest.fixture
def behind(carol: Browser) -> Behind:
    made = Behind()
    carol.site.state.flower = httpx.AsyncClient(transport=httpx.MockTransport(made))
    return made


def test_links_and_calls_of_a_page_come_to_us() -> None:
    html = turned(PAGE).decode()

    assert f'href="{PLACE}/static/favicon.ico?v=1"' in html
    assert f'src="{PLACE}/static/js/flower.js?v=2"' in html
    assert f'href="{PLACE}/tasks"' in html
    assert f'value="{PLACE}" id="url_prefix"' in html
    assert 'href="https://flower.readthedocs.io/"' in html
    assert 'href="//elsewhere.example/"' in html
    assert "The path /tasks stays in text" in html


def test_the_one_known_script_may_run_and_no_other() -> None:
    """A page of Flower's shows what tasks were called with: none of it can become a script on our site."""
    own = base64.b64encode(hashlib.sha256(b"\n  var autorefresh = 1;\n").digest()).decode()

    said = policy(PAGE + b"<script>alert(document.cookie)</script>", "http://localhost:3000")

    assert f"script-src http://localhost:3000{PLACE}/static/ 'sha256-{own}';" in said
    assert said.count("sha256-") == 1
    assert "script-src 'self'" not in said
    assert "'unsafe-inline'" not in said.partition("script-src")[2].partition(";")[0]
    assert "connect-src http://localhost:3000/admin/flower/;" in said


def test_a_viewer_sees_it_with_flowers_own_login_added(behind: Behind, carol: Browser) -> None:
    """U1."""
    page = carol.get(f"{PLACE}/tasks?limit=5")

    assert page.status_code == 200
    assert f'href="{PLACE}/tasks"' in page.text
    assert "sha256-" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in page.headers
    [asked] = behind.asked
    assert str(asked.url) == "http://127.0.0.1:5999/tasks?limit=5"
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"concord:s3cret").decode()
    assert "cookie" not in asked.headers
    assert "s3cret" not in page.text


def test_without_signing_in_there_is_nothing(behind: Behind, mallory: Browser) -> None:
    """W4: behind a login, ours or its own."""
    page = mallory.get(f"{PLACE}/", follow_redirects=False)

    assert page.status_code == 303
    assert "/admin/login" in page.headers["location"]
    assert behind.asked == []


@pytest.mark.parametrize(
    "place",
    [
        "metrics", "healthcheck", "logout", "login", "api/workers/x", "api/task/send-task/evil", "static/../app.py",
        "static/%2e%2e/app.py", "worker/a/b", "api/worker/shutdown/mail@here", "//evil.example/", "%2f%2fevil.example/",
    ],
)  # fmt: skip
def test_only_its_pages_can_be_asked_for(behind: Behind, carol: Browser, place: str) -> None:
    assert carol.get(f"{PLACE}/{place}").status_code == 404
    assert behind.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_done_through_it(behind: Behind, carol: Browser, method: str) -> None:
    assert carol.request(method, f"{PLACE}/api/worker/shutdown/mail@here").status_code in (403, 405)
    assert behind.asked == []


def test_the_table_of_tasks_asks_by_post_from_our_own_pages_only(behind: Behind, carol: Browser) -> None:
    behind.answer = lambda _request: httpx.Response(200, json={"data": []})
    place = f"{PLACE}/tasks/datatable"

    own = carol.post(place, data={"draw": "1"}, headers={"Origin": "http://localhost:3000"})
    foreign = carol.post(place, data={"draw": "1"}, headers={"Origin": "http://evil.example"})
    crossed = carol.post(place, data={"draw": "1"}, headers={"Sec-Fetch-Site": "cross-site"})

    assert own.json() == {"data": []}
    assert behind.asked[0].content == b"draw=1"
    assert (foreign.status_code, crossed.status_code) == (403, 403)
    assert len(behind.asked) == 1


def _refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused", request=request)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (_refuse, 503, "Flower does not answer."),
        (lambda _request: httpx.Response(401, text="Access denied"), 502, "does not take the login"),
        (lambda _request: httpx.Response(500, text="Traceback secret"), 502, "could not answer"),
        (lambda _request: httpx.Response(302, headers={"Location": "http://evil.example"}), 502, "could not answer"),
    ],
)
def test_what_is_wrong_with_it_is_said_with_a_remedy(
    behind: Behind, carol: Browser, answer: Callable[[httpx.Request], httpx.Response], status: int, said: str
) -> None:
    behind.answer = answer

    page = carol.get(f"{PLACE}/")

    assert page.status_code == status
    assert said in page.text
    assert "What to do" in page.text
    assert "Traceback secret" not in page.text
