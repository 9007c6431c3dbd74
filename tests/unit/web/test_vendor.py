"""What browsers load and others make: locked, here, and with its licence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from concord.web.assets import assets, url
from tests.npm import AXE, ROOT

VENDOR = ROOT / "concord/web/vendor"


@pytest.mark.parametrize("name", ["htmx.min.js", "hx-sse.min.js", "uPlot.iife.min.js", "uPlot.min.css"])
def test_file_for_browsers_is_served(name: str) -> None:
    assert len(assets()[name].content) > 1000
    assert url(name).startswith(f"/static/{name.rpartition('.')[0]}.")


def test_tests_find_axe() -> None:
    assert AXE.is_file()


def test_lock_has_a_hash_for_each_package_and_no_address() -> None:
    text = (ROOT / "packaging/npm/package-lock.json").read_text(encoding="utf-8")

    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}

    assert {"node_modules/htmx.org", "node_modules/uplot", "node_modules/axe-core"} <= set(packages)
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in text


def test_everything_is_in_place_after_bootstrap() -> None:
    """Fails where somebody changed the lock and tests with what lay there before."""
    done = subprocess.run(["packaging/static", "check"], cwd=ROOT, check=False)

    assert done.returncode == 0


def licences(venv: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "packaging/licences.py", str(venv), "debian/copyright"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """With nothing installed but what is for browsers."""
    shutil.copytree(VENDOR, vendor_of(tmp_path), ignore=shutil.ignore_patterns(".made-from"))
    return tmp_path


def vendor_of(venv: Path) -> Path:
    return venv / "lib/python3.11/site-packages/concord/web/vendor"


def test_copyright_names_each_file_for_browsers_with_its_licence(venv: Path) -> None:
    told = licences(venv).stdout

    for file in vendor_of(venv).iterdir():
        assert f"/{file.name}\n" in told or file.suffix == ".LICENCE"
    assert "License: 0BSD-htmx\n Zero-Clause BSD" in told
    assert "License: Expat-uplot\n The MIT License (MIT)\n .\n Copyright (c) 2022 Leon Sorokin" in told


def test_file_for_browsers_that_nobody_gave_a_licence_fails_the_build(venv: Path) -> None:
    (vendor_of(venv) / "novel.min.js").write_text("", encoding="utf-8")

    done = licences(venv)

    assert done.returncode != 0
    assert "novel.min.js" in done.stderr
