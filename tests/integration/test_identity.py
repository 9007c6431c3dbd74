"""Root's command works with the rights of the daemons' user, and keeps root's at hand for the caller's own files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take on another user's rights")

USER, UID = "nobody", 65534
BEGIN = f"""
import os, sys
from pathlib import Path
from concord import settings
from concord.cli import identity
from concord.cli.files import as_caller
folder = Path(sys.argv[1])
settings.DEFAULT_CONFIG = folder / "concord.toml"
identity.USER = {USER!r}
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A place that looks like an installation, which only its user may write to."""
    (tmp_path / "concord.toml").touch()
    (tmp_path / "state").mkdir(mode=0o750)
    os.chown(tmp_path / "state", UID, UID)
    (tmp_path / "caller").mkdir(mode=0o700)
    (tmp_path / "caller" / "mail.eml").write_text("Subject: hello\n\n", encoding="utf-8")
    # The tests' own folders are root's alone; the user must get to its own.
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    return tmp_path


def run(folder: Path, script: str, **environment: str) -> str:
    """What a process started by root prints."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script, str(folder)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_command_makes_belongs_to_the_daemons(installed: Path) -> None:
    """A month's folder of the archive that root made would stop the poll at night."""
    run(installed, "identity.put_on()\n(folder / 'state' / 'month').mkdir()\n(folder / 'state' / 'db').touch()")

    made = [(installed / "state" / name).stat() for name in ("month", "db")]
    assert {(one.st_uid, one.st_gid) for one in made} == {(UID, UID)}
    assert [oct(one.st_mode & 0o777) for one in made] == ["0o750", "0o640"]


def test_files_that_the_caller_names_are_read_as_the_caller(installed: Path) -> None:
    told = run(
        installed,
        """
identity.put_on()
mail = folder / "caller" / "mail.eml"
try:
    mail.read_bytes()
except PermissionError:
    print("refused")
with as_caller():
    print(mail.read_bytes().decode().strip())
print(os.geteuid(), os.getegid())
""",
    )

    assert told.splitlines() == ["refused", "Subject: hello", f"{UID} {UID}"]


def test_a_daemon_keeps_nothing_of_root(installed: Path) -> None:
    told = run(
        installed,
        """
identity.put_on()
identity.become()
print(os.getresuid(), os.getresgid(), 0 in os.getgroups())
try:
    os.seteuid(0)
except PermissionError:
    print("for good")
""",
    )

    assert told.splitlines() == [f"{(UID,) * 3} {(UID,) * 3} False", "for good"]


def test_whoever_names_a_configuration_stays_who_they_are(installed: Path) -> None:
    """A checkout, a test, a container of one's own."""
    told = run(
        installed,
        "identity.put_on()\nidentity.become()\nprint(os.geteuid())",
        CONCORD_CONFIG=str(installed / "concord.toml"),
    )

    assert told == "0"


def test_without_the_user_root_stays_root(installed: Path) -> None:
    assert run(installed, "identity.USER = 'no-such-user'\nidentity.put_on()\nprint(os.geteuid())") == "0"


@pytest.mark.parametrize(("variables", "name"), [({}, "root"), ({"SUDO_USER": "alice"}, "alice")])
def test_the_person_behind_sudo_is_who_asks(installed: Path, variables: dict[str, str], name: str) -> None:
    """M3."""
    script = "identity._LOGIN = folder / 'nowhere'\nprint(identity.actor())"

    assert run(installed, script, **variables) == name


def test_a_variable_makes_nobody_else_of_a_plain_user(installed: Path) -> None:
    """M3: anybody can set one."""
    script = f"identity._LOGIN = folder / 'nowhere'\nos.setresuid({UID}, {UID}, {UID})\nprint(identity.actor())"

    assert run(installed, script, SUDO_USER="alice") == USER


@pytest.mark.parametrize(
    ("uid", "name"), [("0", "root"), ("65534", USER), ("4294967295", "root"), ("77777", "uid 77777")]
)
def test_the_kernel_remembers_who_logged_in(installed: Path, uid: str, name: str) -> None:
    (installed / "loginuid").write_text(uid, encoding="ascii")

    assert run(installed, "identity._LOGIN = folder / 'loginuid'\nprint(identity.actor())") == name


MAKE = """
from concord import bootstrap
from concord.cli.session import Session, begin, here
bootstrap.concord = lambda: "parts"
session = Session()
begin(session)
"""


def test_command_keeps_nothing_of_root(installed: Path) -> None:
    """What a command parses comes from strangers: with a saved root, a bug in a parser would be root's."""
    told = run(
        installed,
        MAKE
        + """
here()
print(os.getresuid(), os.getresgid(), 0 in os.getgroups())
for regain in (lambda: os.seteuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        regain()
    except PermissionError:
        print("for good")
""",
    )

    assert told.splitlines() == [f"{(UID,) * 3} {(UID,) * 3} False", *["for good"] * 4]


def test_only_a_verb_that_moves_units_keeps_root_at_hand(installed: Path) -> None:
    told = run(installed, MAKE + "session.keeps_root = True\nhere()\nprint(os.getresuid())")

    assert told == f"(0, {UID}, 0)"


def test_person_behind_sudo_is_known_after_root_is_gone(installed: Path) -> None:
    script = "identity._LOGIN = folder / 'nowhere'\nidentity.become()\nprint(identity.actor())"

    assert run(installed, script, SUDO_USER="alice") == "alice"
