"""What the documents say is there, is there: commands with their options, addresses, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.routing import Match
from typer.main import get_command

from concord.bootstrap import Concord
from concord.cli.root import app as command
from concord.settings import Settings
from concord.web.app import make_app

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = (
    "README.md",
    "README.zh-CN.md",
    "deploy/README.md",
    "deploy/security.md",
    "debian/README.Debian",
    "debian/changelog",
)
MAN: Final = tuple(f"deploy/man/{name}" for name in ("concord-admin.service.8", "concord-celery.target.8"))
_CODE: Final = re.compile(r"`([^`\n]+)`|^    (\S.*)$", re.MULTILINE)
_ADDRESS: Final = re.compile(r"(?:^|[ \"']|https?://[\w.:-]+)(/(?:admin|api|healthz)[\w/.@-]*)")
_FOLDERS: Final = ("concord/", "deploy/", "packaging/", "debian/", "tests/")


def text_of(document: str) -> str:
    text = (ROOT / document).read_text(encoding="utf-8")
    if document in MAN:
        return re.sub(r"\\f.", "", text.replace("\\-", "-"))
    return text


def pieces(document: str) -> Iterator[str]:
    """Code of Markdown; each line of anything else."""
    text = text_of(document)
    if not document.endswith(".md"):
        # Without the line ends that are only there because lines end.
        yield from re.split(r"[\"“”]|\n\n|\n  \* ", text) if document == "debian/changelog" else text.splitlines()
        return
    for found in _CODE.finditer(text):
        yield (found[1] or found[2]).replace("\\|", "|")  # as a table's cell has it


def commands(document: str) -> list[str]:
    """Command lines, without what is explained behind two spaces, and without the shell's own signs."""
    told = [re.sub(r"\s+", " ", piece) if document == "debian/changelog" else piece for piece in pieces(document)]
    lines = [re.split(r"  +|[<>|]\s|\)$", re.sub(r"^(\.B |TOKEN=\$\()", "", piece.strip()))[0] for piece in told]
    return [line for line in lines if re.match(r"concord [a-z]", line)]


@pytest.mark.parametrize("document", [*DOCUMENTS, *MAN])
def test_every_command_is_there_with_its_options(document: str) -> None:
    found = commands(document)

    assert found or document == "debian/README.Debian"
    for line in found:
        for words in alternatives(line.replace("[", "").replace("]", "").rstrip(".,;…").split()[1:]):
            refuse_unknown(words, line)


def alternatives(words: list[str]) -> list[list[str]]:
    """`start|stop` is two command lines; further alternatives are values of options."""
    at = next((place for place, word in enumerate(words[:3]) if "|" in word and not word.startswith("-")), None)
    if at is None:
        return [words]
    return [[*words[:at], word, *words[at + 1 :]] for word in words[at].split("|")]


def refuse_unknown(words: list[str], line: str) -> None:
    node: Any = get_command(command)
    for word in words:
        if not hasattr(node, "list_commands"):
            break
        if word.startswith("-"):
            break
        inner = node.get_command(None, word)
        assert inner is not None, f"{word!r} of {line!r}"
        node = inner
    known = {name for one in node.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    options = {word.partition("=")[0].rstrip(",") for word in words if word.startswith("-")}
    assert options - {"…"} <= known, f"{options - known} of {line!r}"


@pytest.mark.parametrize("document", [*DOCUMENTS, *MAN])
def test_every_address_is_answered(document: str) -> None:
    routes = make_app(Concord(Settings())).routes
    told = {address for piece in pieces(document) for address in _ADDRESS.findall(piece)}

    for address in {one.rstrip(".") for one in told} - {"/api/v1"}:
        scope = {"type": "http", "method": "GET", "path": address, "headers": []}
        assert any(route.matches(scope)[0] is not Match.NONE for route in routes), address


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md", "deploy/README.md"])
def test_every_file_and_folder_is_there(document: str) -> None:
    text = text_of(document)
    linked = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    named = [
        piece for piece in pieces(document) if piece.startswith(_FOLDERS) and not re.search(r"[A-Z*]{2}|[ *]", piece)
    ]

    assert linked
    assert [target for target in linked if not (ROOT / document).parent.joinpath(target).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_both_languages_name_the_same_files_and_commands() -> None:
    english, chinese = (
        {piece for piece in pieces(document) if piece.startswith((*_FOLDERS, "make ", "concord ", "apt "))}
        for document in ("README.md", "README.zh-CN.md")
    )

    assert english == chinese
