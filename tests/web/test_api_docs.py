"""The API's description as people read it: every call is found, with the shapes it takes and gives, on light pages."""

from __future__ import annotations

import re

from concord.web.api_document import document, slug
from tests.web_world import Browser

# With the static files of a first visit, 150 KB in all.
MOST = 100_000


def groups(browser: Browser) -> set[str]:
    return set(re.findall(r'href="/api/docs/([a-z0-9-]+)"', browser.get("/api/docs").text))


def test_every_call_leads_to_its_place(carol: Browser) -> None:
    listed = carol.get("/api/docs").text
    links = re.findall(r'href="/api/docs/([a-z0-9-]+)#([a-z0-9-]+)"', listed)
    calls = [(path, verb) for path, verbs in document(carol.site)["paths"].items() for verb in verbs]

    assert len(links) == len(set(links)) == len(calls)
    for group in groups(carol):
        page = carol.get(f"/api/docs/{group}").text
        assert all(page.count(f'id="{anchor}"') == 1 for place, anchor in links if place == group)


def test_a_group_has_the_shapes_that_it_names(carol: Browser) -> None:
    shapes = document(carol.site)["components"]["schemas"]
    for group in groups(carol):
        page = carol.get(f"/api/docs/{group}").text
        named = {name for name in re.findall(r"\b[A-Z][A-Za-z]+Out\b", page) if name in shapes}
        assert named
        assert named <= set(re.findall(r'id="shape-(\w+)"', page)), group


def test_its_pages_are_light(carol: Browser) -> None:
    for place in ("/api/docs", *(f"/api/docs/{group}" for group in groups(carol))):
        assert len(carol.get(place).content) < MOST, place


def test_no_group_is_no_page(carol: Browser) -> None:
    assert slug("OAuth2 apps") == "oauth2-apps"
    assert carol.get("/api/docs/nothing").status_code == 404
