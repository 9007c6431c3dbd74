"""debian/copyright with a paragraph for every library that is installed.

    licences.py VENV COPYRIGHT > WHOLE

Names and licences come from the libraries' own metadata; one that states none fails the build. So does a file for
browsers (packaging/static) that no paragraph is about.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

# What a library says in words only, in the file named.
_SAID_ELSEWHERE: Final = {"imapclient": "BSD-3-Clause"}  # its COPYING and README: "New BSD License"
_SHARED: Final = "The text of the Apache License, Version 2.0, is in /usr/share/common-licenses/Apache-2.0."
_LICENCE_FILES: Final = ("licen", "copying", "notice", "authors")
_BROWSERS: Final = "concord/web/vendor"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendored:
    """A library for browsers: its files, whose it is, and the name of the licence that lies beside them."""

    files: tuple[str, ...]
    author: str
    licence: str


# Its author and licence as npm's metadata has them ("BSD-0-Clause" and "MIT" in Debian's spelling).
_VENDORED: Final = {
    "htmx": _Vendored(files=("htmx.min.js", "hx-sse.min.js"), author="Big Sky Software", licence="0BSD"),
    "uplot": _Vendored(files=("uPlot.iife.min.js", "uPlot.min.css"), author="2022 Leon Sorokin", licence="Expat"),
}


def main() -> int:
    """Print the whole file."""
    venv, own = Path(sys.argv[1]), Path(sys.argv[2])
    place = next((venv / "lib").glob("python3.*/site-packages"))
    found = sorted(distributions(path=[str(place)]), key=lambda one: one.name.lower())
    bundled = [one for one in found if one.name != "concord"]
    print(own.read_text(encoding="utf-8").rstrip())
    for one in bundled:
        print(f"\n{_paragraph(one, place)}")
    for paragraph in _for_browsers(place):
        print(f"\n{paragraph}")
    return 0


def _paragraph(one: Distribution, place: Path) -> str:
    folders = sorted(
        {str(file).split("/")[0] for file in one.files or () if not str(file).startswith((".", "/", "__pycache__"))}
    )
    files = "\n ".join(
        f"{_installed(place)}/{folder}" + ("" if folder.endswith((".py", ".so", ".pth")) else "/*")
        for folder in folders
    )
    author = stated(one, "Author") or stated(one, "Author-email") or stated(one, "Maintainer") or "its authors"
    text = "\n".join(_texts(one)) or "See the project's own page for its text."
    return _written(files, " ".join(author.split()), _licence(one), text)


def _for_browsers(place: Path) -> Iterator[str]:
    vendor = place / _BROWSERS
    known = {name for one in _VENDORED.values() for name in one.files} | {f"{name}.LICENCE" for name in _VENDORED}
    found = {file.name for file in vendor.iterdir()}
    if found != known:
        sys.exit(f"{', '.join(sorted(found ^ known))}: in {_BROWSERS} or in packaging/licences.py, but not in both")
    for name, one in _VENDORED.items():
        files = "\n ".join(f"{_installed(place)}/{_BROWSERS}/{file}" for file in one.files)
        text = (vendor / f"{name}.LICENCE").read_text(encoding="utf-8")
        yield _written(files, one.author, f"{one.licence}-{name}", text)


def _installed(place: Path) -> str:
    return f"usr/lib/concord/*/lib/{place.parent.name}/site-packages"


def _written(files: str, author: str, licence: str, text: str) -> str:
    return "\n".join(
        [
            f"Files: {files}",
            f"Copyright: {author}",
            f"License: {licence}",
            *(f" {line.rstrip()}" if line.strip() else " ." for line in text.splitlines()),
        ]
    )


def stated(one: Distribution, field: str) -> str:
    """What its metadata says first under a name; empty where it says nothing."""
    return next(iter(one.metadata.get_all(field) or ()), "")


def stated_licence(one: Distribution) -> str:
    """What its metadata says, or what packaging/licences.py knows; without either the build fails."""
    classifiers = [
        line.rpartition(" :: ")[2] for line in one.metadata.get_all("Classifier", []) if "License ::" in line
    ]
    words = stated(one, "License-Expression") or (classifiers[0] if classifiers else stated(one, "License"))
    words = words or _SAID_ELSEWHERE.get(one.name.lower())
    if not words:
        sys.exit(f"{one.name} states no licence: look it up, and add it to packaging/licences.py")
    return words


def _licence(one: Distribution) -> str:
    """A short name that no other library shares, since DEP-5 lets a name have one text."""
    words = stated_licence(one)
    word = "-".join(words.splitlines()[0].replace("(", "").replace(")", "").split()[:6])
    return f"{word}-{one.name.lower()}"


def _texts(one: Distribution) -> Iterator[str]:
    for file in sorted(one.files or (), key=str):
        inside = ".dist-info" in str(file) and file.name.lower().startswith(_LICENCE_FILES)
        if inside and file.suffix.lower() in ("", ".txt", ".md", ".rst", ".apache", ".bsd", ".mit"):
            text = Path(str(file.locate())).read_text(encoding="utf-8", errors="replace")
            yield _SHARED if _is_apache(text) else text


def _is_apache(text: str) -> bool:
    return "Apache License" in text and "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text


if __name__ == "__main__":
    sys.exit(main())
