"""The package's software bill of materials: every library that is installed with it, as CycloneDX 1.6.

    sbom.py VENV VERSION > sbom.cdx.json

What is installed is read from the virtual environment, what it was checked against from the locks. The same source
gives the same octets: the time is SOURCE_DATE_EPOCH's.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from licences import stated, stated_licence

_HERE: Final = Path(__file__).parent
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Classifiers and words of older metadata that name one SPDX licence without doubt.
_SPDX: Final = {
    "MIT License": "MIT",
    "MIT": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "BSD-3-Clause": "BSD-3-Clause",
    "BSD-2-Clause": "BSD-2-Clause",
    "BSD-0-Clause": "0BSD",  # as npm's metadata of htmx spells it
    "ISC License (ISCL)": "ISC",
    "ISC": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.0-or-later",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One that is installed: name, version, and its licence in its own words."""

    name: str
    version: str
    licence: str
    is_expression: bool = False  # SPDX's own notation (PEP 639)


def bill(
    version: str, installed: Iterable[Library], lock: str, npm_lock: Mapping[str, Any], *, at: datetime
) -> dict[str, Any]:
    """The document. Raises ValueError where something is installed that no lock names."""
    components = [*_from_python(installed, locked(lock)), *_from_npm(npm_lock)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": "concord",
                "name": "concord",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": "concord", "dependsOn": [one["bom-ref"] for one in components]},
            *({"ref": one["bom-ref"]} for one in components),
        ],
    }


def locked(text: str) -> dict[str, tuple[str, list[str]]]:
    """By name, the version that a lock pins and the SHA-256 of each file that it allows."""
    parts = _PINNED.split(text)[1:]
    return {_plain(name): (version, _HASH.findall(rest)) for name, version, rest in _in_threes(parts)}


def _from_python(installed: Iterable[Library], pins: Mapping[str, tuple[str, list[str]]]) -> list[dict[str, Any]]:
    found = []
    for one in sorted(installed, key=lambda library: _plain(library.name)):
        name = _plain(one.name)
        version, hashes = pins.get(name, ("", []))
        if version != one.version or not hashes:
            raise ValueError(
                f"{name} {one.version} is installed, but packaging/requirements.lock has {version or 'none'}"
            )
        purl = f"pkg:pypi/{name}@{version}"
        # One of these is the file that was installed: which one, the machine decides.
        digests = [{"alg": "SHA-256", "content": digest} for digest in sorted(hashes)]
        found.append(_component(purl, name, version, _licences(one), digests))
    return found


def _from_npm(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What browsers load; what only tests use is left out."""
    found = []
    for place, one in sorted(lock["packages"].items()):
        if not place or one.get("dev"):
            continue
        name, version = place.rpartition("node_modules/")[2], one["version"]
        kind, _, digest = one["integrity"].partition("-")
        digests = [{"alg": kind.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}]
        library = Library(name=name, version=version, licence=one["license"])
        purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
        found.append(_component(purl, name, version, _licences(library), digests))
    return found


def _component(
    purl: str, name: str, version: str, licences: list[dict[str, Any]], hashes: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "hashes": hashes,
        "licenses": licences,
        "purl": purl,
    }


def _licences(one: Library) -> list[dict[str, Any]]:
    if one.is_expression:
        return [{"expression": one.licence}]
    if one.licence in _SPDX:
        return [{"license": {"id": _SPDX[one.licence]}}]
    return [{"license": {"name": one.licence}}]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _in_threes(parts: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    return zip(parts[0::3], parts[1::3], parts[2::3], strict=True)


def installed_in(venv: Path) -> list[Library]:
    """All but Concord itself."""
    place = next((venv / "lib").glob("python3.*/site-packages"))
    return [
        Library(
            name=one.name,
            version=one.version,
            licence=stated_licence(one),
            is_expression=bool(stated(one, "License-Expression")),
        )
        for one in distributions(path=[str(place)])
        if _plain(one.name) != "concord"
    ]


def main() -> int:
    """Print it."""
    venv, version = Path(sys.argv[1]), sys.argv[2]
    lock = (_HERE / "requirements.lock").read_text(encoding="utf-8")
    npm_lock = json.loads((_HERE / "npm/package-lock.json").read_text(encoding="utf-8"))
    at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    json.dump(bill(version, installed_in(venv), lock, npm_lock, at=at), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
