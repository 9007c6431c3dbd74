"""The packages under test: built from this checkout, installed once for each suite, and made into later versions."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from tests.package.failure import MachineError
from tests.package.machine import Machine
from tests.package.trees import cache_folder, forget_unused, locked, tree

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 1500
DELIVERING = " concord-worker@deliver.service"


def build(suite: str) -> Path:
    """The folder with the suite's packages, built from this checkout as it lies there unless they are up to date."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    # Two test processes ask at once; the second finds everything in place.
    with locked(cache_folder() / "build.lock"):
        done = subprocess.run(
            ["packaging/build-deb", "--worktree", "--suite", suite],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
    if done.returncode:
        raise MachineError(f"packaging/build-deb --suite {suite} failed:\n{(done.stdout + done.stderr)[-6000:]}")
    return ROOT / "dist" / suite


def find(folder: Path, name: str = "concord") -> Path:
    """The one package of that name in a build's folder."""
    (found,) = folder.glob(f"{name}_*.deb")
    return found


def installed_layer(suite: str, deb: Path) -> Path:
    """What installing this package changes in a fresh machine; done once, for all machines that want it installed."""
    print_ = hashlib.sha256(deb.read_bytes()).hexdigest()[:12]
    base = tree(suite)
    place = base.with_name(f"{base.name}+{print_}")
    with locked(cache_folder() / f"{suite}-layer.lock"):
        if place.exists():
            forget_unused(place, f"{base.name}+*")
            return place
        with Machine(suite) as machine:
            machine.install(deb)
            machine.wait_until(lambda: machine.is_active("concord-celery.target"), within=60)
            machine.run("systemctl stop concord-celery.target 'concord-*.service'; rm -f /root/*.deb")
            machine.keep(place)
    return place


def next_version(
    deb: Path, folder: Path, number: int, *, migration: str | None = None, drop: str | None = None
) -> Path:
    """The same package with a higher version number, and perhaps one more migration, or one of those taken out.

    `migration` is the body of its `upgrade`; its revision is `probeN`, on top of the newest there is. What depends on
    exactly this version depends on the new one.
    """
    tree_ = folder / f"{deb.stem}.tree"
    shutil.rmtree(tree_, ignore_errors=True)
    _run("dpkg-deb", "-R", deb, tree_)
    control = tree_ / "DEBIAN/control"
    text = control.read_text(encoding="utf-8")
    version = re.search(r"^Version: (.*)$", text, re.MULTILINE)
    assert version
    fresh = f"{version[1].partition('.probe')[0]}.probe{number}"
    control.write_text(text.replace(version[1], fresh), encoding="utf-8")
    _move(tree_ / "usr/lib/concord", version[1], fresh)
    if drop:
        (_migrations(tree_) / f"{drop}.py").unlink()
    if migration:
        _add_migration(_migrations(tree_), f"probe{number}", migration)
    made = folder / f"{_field(text, 'Package')}_{fresh}_{_field(text, 'Architecture')}.deb"
    # Not compressed: this is read once.
    _run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree_, made)
    shutil.rmtree(tree_)
    return made


def two_workers(deb: Path, folder: Path, number: int) -> Path:
    """The same package as it was before there was a delivering worker: its target wants none."""
    made = next_version(deb, folder, number)
    tree_ = folder / f"{made.stem}.tree"
    _run("dpkg-deb", "-R", made, tree_)
    (target,) = tree_.glob("**/systemd/system/concord-celery.target")
    text = target.read_text(encoding="utf-8")
    assert DELIVERING in text
    target.write_text(text.replace(DELIVERING, ""), encoding="utf-8")
    _run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree_, made)
    shutil.rmtree(tree_)
    return made


def _move(home: Path, old: str, new: str) -> None:
    """Its folder is named after the version."""
    if not home.exists():
        return
    (home / old).rename(home / new)
    (home / "current").unlink()
    (home / "current").symlink_to(new)
    for script in (home / new / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            script.write_text(script.read_text(encoding="utf-8").replace(f"/{old}/", f"/{new}/"), encoding="utf-8")


def _migrations(tree_: Path) -> Path:
    (found,) = tree_.glob(
        "usr/lib/concord/current/lib/python3.*/site-packages/concord/adapters/sql/migrations/versions"
    )
    return found


def _add_migration(versions: Path, revision: str, body: str) -> None:
    known = {path.stem.partition("_")[0] if path.stem[0].isdigit() else path.stem for path in versions.glob("*.py")}
    newest = max(known, key=lambda name: (name.startswith("probe"), name))
    lines = [
        '"""A migration of the package\'s tests."""',
        "import sqlalchemy as sa",
        "from alembic import op",
        f"revision = {revision!r}",
        f"down_revision = {newest!r}",
        "branch_labels = None",
        "depends_on = None",
        "def upgrade():",
        f"    {body}",
        "def downgrade():",
        "    pass",
    ]
    (versions / f"{revision}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _field(control: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", control, re.MULTILINE)
    assert found
    return found[1]


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
