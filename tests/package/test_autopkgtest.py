"""What Debian's machinery would run of debian/tests: the same scripts, on Debian's own Dovecot settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.package.host import Host

SCRIPTS = Path(__file__).parents[2] / "debian/tests"


def declared() -> list[str]:
    """The names in debian/tests/control."""
    return re.findall(r"^Tests: (\S+)$", (SCRIPTS / "control").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_script_is_declared() -> None:
    assert sorted(declared()) == sorted(file.name for file in SCRIPTS.iterdir() if file.name != "control")


@pytest.mark.parametrize("name", declared())
def test_the_script_succeeds_where_the_package_was_just_installed(host: Host, name: str) -> None:
    host.machine.run("cp /usr/share/dovecot/dovecot.conf /etc/dovecot/dovecot.conf")
    host.machine.copy_in(SCRIPTS / name, f"/root/{name}")

    host.machine.run(["sh", f"/root/{name}"], timeout=180)
