from __future__ import annotations

import pytest

from concord.web.language import Language, preferred


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", Language.ENGLISH),
        ("zh", Language.CHINESE),
        ("zh-TW,zh;q=0.9,en;q=0.8", Language.CHINESE),
        ("en-US,en;q=0.9,zh-CN;q=0.8", Language.ENGLISH),
        ("de, zh-CN;q=0.5", Language.CHINESE),
        ("en;q=0.1, zh;q=0.7", Language.CHINESE),
        ("zh;q=0, de", Language.ENGLISH),
        ("zh;q=nonsense,,;;=", Language.ENGLISH),
        ("zhx", Language.ENGLISH),
        ("*", Language.ENGLISH),
    ],
)
def test_page_speaks_what_the_browser_would_rather_read(accept: str, language: Language) -> None:
    """RFC 9110, section 12.5.4."""
    assert preferred(accept) is language
