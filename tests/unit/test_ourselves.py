"""Rules about the repository itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import concord

ROOT = Path(__file__).parents[2]


def test_changelog_and_package_name_one_version() -> None:
    first = (ROOT / "debian/changelog").read_text(encoding="utf-8").splitlines()[0]

    assert re.match(r"concord \(([^)]+)\)", first)[1] == concord.__version__  # type: ignore[index]  # None fails too


def test_nothing_of_the_old_scheduler_remains() -> None:
    """No APScheduler code or dependency anywhere."""
    places = [ROOT / "pyproject.toml", *(ROOT / "packaging").glob("*.lock"), *(ROOT / "concord").rglob("*.py")]

    assert [place for place in places if "apscheduler" in place.read_text(encoding="utf-8").lower()] == []


def test_layer_contract_refuses_an_upward_import(tmp_path: Path) -> None:
    """The import contract is seen to fail on a planted violation."""
    shutil.copytree(ROOT / "concord", tmp_path / "concord", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "concord/model/account.py"
    planted.write_text(planted.read_text(encoding="utf-8") + "\nimport concord.adapters.vault\n", encoding="utf-8")

    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "concord.model.account -> concord.adapters.vault" in done.stdout
