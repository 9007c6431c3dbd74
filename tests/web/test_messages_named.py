"""What is copied into the search of messages and names none: an empty page, not a mistake."""

from __future__ import annotations

import pytest

from tests.web_world import Browser


@pytest.mark.parametrize("text", ["#7", "0" * 64, "7c9f2f2e-1f6d-5a30-9d0e-0d8e8f0f7c11", "<nobody@example.com>", "7"])
def test_name_of_nothing_finds_nothing(bob: Browser, text: str) -> None:
    page = bob.get("/admin/messages", params={"q": text})

    assert page.status_code == 200
    assert "No message is like that." in page.text
