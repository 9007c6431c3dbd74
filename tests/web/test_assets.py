"""What browsers load: for ever under one name, packed where they take it."""

from __future__ import annotations

import gzip

import pytest

from concord.web import assets
from tests.web_world import Browser


def test_name_changes_with_the_content() -> None:
    assert assets._asset("a.css", b"1").name != assets._asset("a.css", b"2").name


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("", False),
    ],
)
def test_static_files_go_out_packed_where_the_browser_takes_it(
    mallory: Browser, accepted: str, *, packed: bool
) -> None:
    answer = mallory.get(assets.url("site.css"), headers={"Accept-Encoding": accepted})

    assert answer.content == assets.assets()["site.css"].content
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    assert "Accept-Encoding" in answer.headers["vary"]
    assert "immutable" in answer.headers["cache-control"]


def test_packing_is_reproducible() -> None:
    asset = assets.assets()["site.css"]

    assert gzip.decompress(asset.packed) == asset.content
    assert assets._asset("site.css", asset.content) == asset


def test_pages_are_never_packed(alice: Browser) -> None:
    """BREACH: their size would tell of the proof in their forms."""
    assert "content-encoding" not in alice.get("/admin/profile").headers


@pytest.mark.parametrize("name", ["site.css", "..%2fapp.py", "site.000000000000.css"])
def test_nothing_else_can_be_asked_for(mallory: Browser, name: str) -> None:
    assert mallory.get(f"/static/{name}").status_code == 404
