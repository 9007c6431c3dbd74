"""What could lead elsewhere has no name any more in the frame (issue 10, finding 5)."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from concord.web.mail_frame import inert

ACTING = {"link", "meta", "base", "iframe", "form", "object", "embed", "portal"}


class Names(HTMLParser):
    """Collects elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize(
    "text",
    [
        '<link rel=preconnect href="https://evil.example/">',
        "<LINK REL=dns-prefetch HREF=//evil.example>",
        "<link\nrel=preconnect\nhref\n=\n'https://evil.example/'>",
        "<link/rel=preconnect/href=https://evil.example/>",
        "<<link rel=preconnect href=//evil.example>",
        "<lin<link rel=x href=y>k rel=preconnect href=//evil.example>",
        "<svg><link rel=preconnect href=//evil.example></svg>",
        "<svg><a xlink:href=https://evil.example/>x</a></svg>",
        '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
        '<meta http-equiv="x-dns-prefetch-control" content="on">',
        '<base href="https://evil.example/">',
        '<a href="https://evil.example/" ping="https://evil.example/">x</a>',
        "<a\x0chref\x0c=https://evil.example/>x</a>",
        '<area href="https://evil.example/">',
        '<form action="https://evil.example/"><button formaction="//evil.example">x</button></form>',
        '<iframe src="https://evil.example/"></iframe><object data="//evil.example"></object><embed src=//e>',
        '<img attributionsrc="https://evil.example/">',
    ],
)
def test_nothing_that_leads_elsewhere_keeps_its_name(text: str) -> None:
    names = Names()
    names.feed(inert(text))

    assert not names.elements & ACTING
    assert not names.attributes & {"href", "xlink:href", "ping", "formaction", "attributionsrc"}


@pytest.mark.parametrize("text", ["<p class=a>1 &lt; 2 &amp; linked, based, <b>bold</b></p>", "<linked>", "a href b"])
def test_what_leads_nowhere_stays_as_it_is(text: str) -> None:
    assert inert(text) == text
