"""Names of attachments: safe to show, safe to save under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.mime import filename, limits


@pytest.mark.parametrize(
    ("given_name", "safe_name"),
    [
        ("/etc/passwd", "passwd"),
        ("a/", "a"),
        ("C:\\x\\y.txt", "y.txt"),
        ("x:y?.txt", "x_y_.txt"),
        ("nul", "_nul"),
        ("LPT1.txt", "_LPT1.txt"),
        ("a.txt. .", "a.txt"),
        ("...", ""),
        ("a\u202egpj.exe", "agpj.exe"),
        ("名" * 100 + ".docx", "名" * 65 + ".docx"),
    ],
)
def test_dangerous_names_are_changed_and_told(given_name: str, safe_name: str) -> None:
    assert filename.safe(given_name) == (safe_name, True)


@pytest.mark.parametrize("name", ["a.pdf", ".gitignore", "报价单 (1).xlsx", "console.log", "com10.txt", "a  b.txt"])
def test_ordinary_names_stay(name: str) -> None:
    assert filename.safe(name) == (" ".join(name.split()), False)


@given(st.text())
def test_no_name_is_a_path_or_too_long(name: str) -> None:
    found, _ = filename.safe(name)

    assert not set(found) & set('/\\\0<>:"|?*\r\n')
    assert found not in (".", "..")
    assert len(found.encode("utf-8", "replace")) <= limits.FILENAME
