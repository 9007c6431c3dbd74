"""The note on the next page: its cookie names a sentence of the catalogue, and only Concord makes it (issue 10, 1)."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest

from tests.web_world import Browser, csrf

COOKIE = "concord_flash"
MOST_OCTETS = 16_000_000


def packed(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode()


FORGED = [
    packed({"k": "bad", "s": "%(a)300000000s", "v": {"a": ""}}),
    packed({"k": "bad", "s": "%(a)-300000000s", "v": {"a": "x"}}),
    packed({"k": "bad", "s": "%(a)300000000d", "v": {"a": 1}}),
    packed({"k": "bad", "s": "%(a).300000000f", "v": {"a": 1.5}}),
    packed({"k": "bad", "s": "%(a)300000000s" * 50, "v": {"a": ""}}),
    packed({"k": "ok", "s": "Call +1 555 0100, your session is broken", "v": {}}),
    packed({"k": "ok", "s": "'%(name)s' is removed.", "v": {"name": "x"}}),
    packed([[]]),
    "[" * 100_000,
    "AAAA" * 2_000,
    "\x80\xff==",
    "%",
]


@pytest.mark.parametrize("value", FORGED)
@pytest.mark.parametrize("path", ["/admin/login", "/admin/nowhere"])
def test_cookie_that_a_stranger_makes_says_nothing_and_costs_nothing(mallory: Browser, path: str, value: str) -> None:
    plain = mallory.get(path).text
    tracemalloc.start()
    try:
        answer = mallory.get(path, headers={b"Cookie": f"{COOKIE}={value}".encode("latin-1")})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert answer.status_code in (200, 404)
    assert 'role="status"' not in answer.text
    assert len(answer.text) < len(plain) + 1_000
    assert peak < MOST_OCTETS


def test_note_is_shown_once_and_never_for_a_changed_cookie(alice: Browser) -> None:
    answer = alice.submit("/admin/users/bob/change", page="/admin/users/bob", role="viewer", enabled="1")
    assert "&#39;bob&#39; is changed." in answer.text
    assert 'role="status"' not in alice.get("/admin/users").text


@pytest.mark.parametrize("place", [0, 20, 31, 32, 40, -1])
def test_no_octet_of_the_cookie_can_be_changed(alice: Browser, place: int) -> None:
    fields = {"csrf": csrf(alice.get("/admin/profile")), "role": "viewer", "enabled": "1"}
    answer = alice.post("/admin/users/bob/change", data=fields, follow_redirects=False)
    value = answer.cookies[COOKIE].strip('"')
    octets = bytearray(base64.urlsafe_b64decode(value))
    octets[place] ^= 1

    session = f"concord_session={alice.cookies['concord_session']}"
    changed = base64.urlsafe_b64encode(bytes(octets)).decode()
    assert 'role="status"' not in alice.get("/admin/users", headers={"Cookie": f"{session}; {COOKIE}={changed}"}).text
