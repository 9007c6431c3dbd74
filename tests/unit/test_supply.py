"""What the package says of its parts (SBOM), and what is known of them (packaging/audit.py)."""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT: Final = Path(__file__).parents[2]
AT: Final = datetime(2026, 12, 1, tzinfo=UTC)
LOCK: Final = (ROOT / "packaging/requirements.lock").read_text(encoding="utf-8")
NPM: Final = json.loads((ROOT / "packaging/npm/package-lock.json").read_text(encoding="utf-8"))


def module(name: str) -> ModuleType:
    """One of packaging/, which is no Python package: a library has that name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"packaging/{name}.py")
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


_licences, sbom, audit = module("licences"), module("sbom"), module("audit")


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    """Of all that the lock names, as if all of it were installed."""
    libraries = [
        sbom.Library(name=name, version=version, licence="MIT License")
        for name, (version, _) in sbom.locked(LOCK).items()
    ]
    found: dict[str, Any] = sbom.bill("1.2.3", libraries, LOCK, NPM, at=AT)
    return found


def test_bill_keeps_to_the_schema(bill: dict[str, Any]) -> None:
    trouble = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))

    assert trouble is None, trouble


def test_bill_has_each_library_with_version_hashes_licence_and_address(bill: dict[str, Any]) -> None:
    found = {one["purl"]: one for one in bill["components"]}
    celery = next(one for purl, one in found.items() if purl.startswith("pkg:pypi/celery@"))
    (htmx,) = (one for purl, one in found.items() if purl.startswith("pkg:npm/htmx.org@"))

    assert len(found) == sum(line[:1].isalnum() for line in LOCK.splitlines()) + len(("htmx.org", "uplot"))
    assert all(one["hashes"] and one["licenses"] and one["version"] for one in found.values())
    assert len(celery["hashes"][0]["content"]) == 64
    assert (htmx["hashes"][0]["alg"], len(htmx["hashes"][0]["content"])) == ("SHA-512", 128)
    assert htmx["licenses"] == [{"license": {"id": "0BSD"}}]
    assert not any("axe-core" in purl for purl in found), "only tests use it"


def test_bill_is_the_same_at_every_build(bill: dict[str, Any]) -> None:
    libraries = [
        sbom.Library(name=name, version=version, licence="MIT License")
        for name, (version, _) in reversed(sbom.locked(LOCK).items())
    ]

    assert json.dumps(sbom.bill("1.2.3", libraries, LOCK, NPM, at=AT)) == json.dumps(bill)
    assert bill["metadata"]["timestamp"] == "2026-12-01T00:00:00Z"


@pytest.mark.parametrize("version", ["0.0.1", ""])
def test_library_that_no_lock_names_fails_the_build(version: str) -> None:
    name = "celery" if version else "novel"

    with pytest.raises(ValueError, match=f"{name} .* is installed"):
        sbom.bill("1", [sbom.Library(name=name, version=version, licence="MIT")], LOCK, NPM, at=AT)


@pytest.mark.parametrize(
    ("licence", "is_expression", "told"),
    [
        ("MIT OR Apache-2.0", True, {"expression": "MIT OR Apache-2.0"}),
        ("Apache Software License", False, {"license": {"id": "Apache-2.0"}}),
        ("BSD License", False, {"license": {"name": "BSD License"}}),
    ],
)
def test_licence_is_spdx_where_that_is_known(licence: str, told: dict[str, Any], *, is_expression: bool) -> None:
    version = sbom.locked(LOCK)["celery"][0]
    one = sbom.Library(name="celery", version=version, licence=licence, is_expression=is_expression)

    assert sbom.bill("1", [one], LOCK, NPM, at=AT)["components"][0]["licenses"] == [told]


def test_environment_of_this_checkout_has_a_bill() -> None:
    """Names, versions and licences as the libraries' own metadata has them."""
    locked = sbom.locked(LOCK)
    libraries = [one for one in sbom.installed_in(Path(sys.prefix)) if one.name.lower().replace("_", "-") in locked]

    bill = sbom.bill("1", libraries, LOCK, NPM, at=AT)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    assert len(libraries) > 60


SAFE_NPM: Final = {"metadata": {"dependencies": {"total": 3}}, "vulnerabilities": {}}


@pytest.mark.parametrize(
    ("python", "npm", "status", "said"),
    [
        ({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, SAFE_NPM, 0, "no known vulnerability"),
        ({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}, SAFE_NPM, 1, "a 1: CVE-1"),
        # What pip-audit answers, with status 0, where it cannot reach its data.
        ({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, SAFE_NPM, 3, "NOT CHECKED"),
        ({}, SAFE_NPM, 3, "Python: NOT CHECKED: no answer about all packages"),
        ({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, {"error": {}}, 3, "npm: NOT CHECKED"),
        (
            {"dependencies": [{"name": "a", "skip_reason": "x"}]},
            {"metadata": {"dependencies": {"total": 1}}, "vulnerabilities": {"uplot": {"severity": "high"}}},
            1,
            "uplot: high",
        ),
    ],
)
def test_audit_tells_what_is_known_from_what_could_not_be_asked(
    python: dict[str, Any], npm: dict[str, Any], status: int, said: str
) -> None:
    reports = [audit.of_pip_audit(python), audit.of_npm_audit(npm)]

    assert audit.verdict(reports) == status
    assert said in "\n".join(line for report in reports for line in report.lines())
