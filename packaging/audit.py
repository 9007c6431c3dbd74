"""Whether what is locked has known vulnerabilities: pip-audit for Python, npm audit for what browsers load.

    audit.py

Ends with 0 where none is known, 1 where one is, and 3 where the data cannot be reached: then nothing is known.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_HERE: Final = Path(__file__).parent
_BIN: Final = Path(sys.executable).parent
NONE_KNOWN, SOME_KNOWN, NOT_CHECKED = 0, 1, 3
_FIRST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one tool found."""

    what: str
    looked_at: int  # packages that the data was asked about
    unknown: tuple[str, ...] = ()  # those about which there was no answer
    vulnerable: tuple[str, ...] = ()  # with the advisories' ids

    @property
    def status(self) -> int:
        """A vulnerability outweighs what could not be checked."""
        if self.vulnerable:
            return SOME_KNOWN
        return NOT_CHECKED if self.unknown or not self.looked_at else NONE_KNOWN

    def lines(self) -> list[str]:
        """For a person."""
        if self.status == NONE_KNOWN:
            return [f"{self.what}: no known vulnerability in {self.looked_at} packages."]
        told = [f"{self.what}: vulnerable: {one}" for one in self.vulnerable]
        if self.unknown or not self.looked_at:
            names = ", ".join(self.unknown[:_FIRST]) + (" …" if len(self.unknown) > _FIRST else "")
            number = len(self.unknown) or "all"
            told.append(f"{self.what}: NOT CHECKED: no answer about {number} packages{f' ({names})' if names else ''}.")
        return told


def of_pip_audit(document: Mapping[str, Any]) -> Report:
    """Of pip-audit's JSON. Where its data is away, it skips each package and calls that a success."""
    packages = document.get("dependencies", [])
    return Report(
        what="Python",
        looked_at=sum("skip_reason" not in one for one in packages),
        unknown=tuple(one["name"] for one in packages if "skip_reason" in one),
        vulnerable=tuple(
            f"{one['name']} {one['version']}: {', '.join(found['id'] for found in one['vulns'])}"
            for one in packages
            if one.get("vulns")
        ),
    )


def of_npm_audit(document: Mapping[str, Any]) -> Report:
    """Of npm's JSON; without `metadata` it is an error's."""
    counted = document.get("metadata", {}).get("dependencies", {}).get("total", 0)
    return Report(
        what="npm",
        looked_at=counted,
        vulnerable=tuple(f"{name}: {one['severity']}" for name, one in document.get("vulnerabilities", {}).items()),
    )


def verdict(reports: list[Report]) -> int:
    """The status that all of them end with."""
    found = {report.status for report in reports}
    return next((status for status in (SOME_KNOWN, NOT_CHECKED) if status in found), NONE_KNOWN)


def _document(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=_HERE / "npm", capture_output=True, text=True, check=False, timeout=600)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        print(done.stderr.strip()[-500:], file=sys.stderr)
        return {}
    return found if isinstance(found, dict) else {}


def main() -> int:
    """Ask both, and say what they found."""
    lock = str(_HERE / "requirements.lock")
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    npm = shutil.which("npm") or str(_BIN / "npm")
    reports = [
        of_pip_audit(_document([str(_BIN / "pip-audit"), *options, "-r", lock])),
        of_npm_audit(_document([npm, "audit", "--package-lock-only", "--json"])),
    ]
    for report in reports:
        print("\n".join(report.lines()))
    return verdict(reports)


if __name__ == "__main__":
    sys.exit(main())
