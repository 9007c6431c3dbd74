"""No word is missing in Chinese, and none has lost what is filled into it (U8)."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Catalog

from tests.catalogue import Said, everything, kept

HOLE = re.compile(r"%\((\w+)\)[sd]")


@pytest.fixture(scope="module")
def words() -> list[Said]:
    """All that pages may show: found once, for the whole source is read."""
    return everything()


def test_everything_that_pages_may_show_is_translated(words: list[Said]) -> None:
    catalogue = kept()
    said = {one.message for one in words if one.message}

    assert sorted(message for message in said if not text_of(catalogue, message)) == []


def test_translations_are_filled_with_what_the_original_is(words: list[Said]) -> None:
    catalogue = kept()
    for one in words:
        holes = set(HOLE.findall(one.message))
        told = set(HOLE.findall(text_of(catalogue, one.message)))
        assert told <= holes | set(HOLE.findall(one.plural)), one.message
        # A number may be said by a plural form's own words; anything else is lost where it is left out.
        assert holes - {"num"} <= told, one.message


def test_catalogue_has_nothing_that_nobody_says(words: list[Said]) -> None:
    said = {one.message for one in words}
    ids = [one.id[0] if isinstance(one.id, tuple) else one.id for one in kept() if one.id]

    assert [one for one in ids if one not in said] == []


def text_of(catalogue: Catalog, message: str) -> str:
    """Its translation; Chinese has one form for every number."""
    found = catalogue.get(message)
    string = found.string if found else ""
    return str(string[0] if isinstance(string, tuple | list) else string or "")
