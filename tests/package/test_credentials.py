"""Each daemon is locked in with its own secrets and no others: looked for inside the booted units (issue 10, 16)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from concord.settings import NOT_GIVEN, SECRETS_OF
from tests.figures import Note
from tests.package.host import ADMIN, DAEMONS, MIGRATE, SETTLE, TARGET, Host

FOLDER = "/etc/concord/credentials"
DROP_IN = "/etc/systemd/system/concord-.service.d/more-credentials.conf"
# With these, every secret but the database's (SQLite needs none) has a value to look for.
ADDED = {
    "redis__url": "redis://:redis-secret@127.0.0.1:6379/0",
    "archive__s3__access_key_id": "s3-name-secret",
    "archive__s3__secret_access_key": "s3-key-secret",
}
SANDBOX_LIMIT = 1.3
AS_CONCORD = "setpriv --reuid=concord --regid=concord --clear-groups"


def own(unit: str) -> set[str]:
    """The secrets that a unit should have, as their files are named."""
    daemon = unit.removeprefix("concord-").removesuffix(".service").partition("@")[0]
    return {name.replace(".", "__") for name in SECRETS_OF[daemon]}


@pytest.fixture(scope="module")
def kept(host: Host) -> dict[str, str]:
    """A host where each secret is a file: their contents, by name."""
    machine = host.machine
    machine.run("redis-cli config set requirepass redis-secret")
    for name, value in ADDED.items():
        machine.put(f"{FOLDER}/{name}", value, mode=0o600, owner="concord")
    machine.run(f"systemctl restart {TARGET} {ADMIN}", timeout=120)
    host.wait_until_up()
    return {path.name: path.read_text(encoding="utf-8").strip() for path in machine.path(FOLDER).iterdir()}


@pytest.mark.parametrize("unit", DAEMONS)
def test_unit_is_given_its_own_secrets_only(host: Host, kept: dict[str, str], unit: str) -> None:
    machine = host.machine
    seen = f"/proc/{machine.main_pid(unit)}/root/run/credentials"

    units = machine.output(f"ls -A {seen}").split()
    given = {name: machine.output(f"cat {seen}/{unit}/{name}") for name in machine.output(f"ls {seen}/{unit}").split()}

    assert units == [unit]
    assert given == {name: kept.get(name, NOT_GIVEN) for name in own(unit)}


@pytest.mark.parametrize("unit", DAEMONS)
def test_unit_cannot_read_the_secrets_of_others(host: Host, kept: dict[str, str], unit: str) -> None:
    """Neither in a file that its user may read, nor in what it was started with."""
    machine, pids = host.machine, host.machine.pids(unit)
    enter = f"nsenter --target {pids[0]} --mount {AS_CONCORD}"
    words = " ".join(f"-e '{value}'" for value in kept.values())

    found = machine.run(
        f"{enter} grep -rshaoF {words} /etc/concord /run /var/lib/concord /var/log/concord", check=False
    )
    started = machine.output(
        f"cat {' '.join(f'/proc/{pid}/environ /proc/{pid}/cmdline' for pid in pids)} | tr '\\0' '\\n'"
    )

    assert set(found.stdout.splitlines()) == {value for name, value in kept.items() if name in own(unit)}
    assert not machine.ok(f"{enter} ls {FOLDER}")
    assert not machine.ok(f"{enter} cat {FOLDER}/secret_key")
    assert [name for name, value in kept.items() if value in started] == []


@pytest.mark.parametrize("unit", DAEMONS)
def test_unit_cannot_look_into_another_units_process(host: Host, kept: dict[str, str], unit: str) -> None:
    """All run as one user: who reads another's memory has its secrets."""
    machine = host.machine
    pid = machine.main_pid(unit)
    theirs = machine.main_pid(next(other for other in DAEMONS if own(other) != own(unit)))
    # Not into its mounts: /proc hides the others there, and the kernel must refuse what is not hidden.
    enter = f"nsenter --target {pid} --user --preserve-credentials {AS_CONCORD.replace('--clear', '--keep')}"

    assert machine.ok(f"{enter} cat /proc/{pid}/environ")
    assert not machine.ok(f"{enter} cat /proc/{theirs}/environ")
    assert not machine.ok(f"{enter} ls /proc/{theirs}/root/run/credentials")


@pytest.mark.parametrize("unit", [MIGRATE, SETTLE, *DAEMONS])
def test_unit_is_locked_in(host: Host, unit: str, note: Note) -> None:
    """D2: on each release, since the older systemd lacks some of the locks."""
    said = host.machine.output(f"systemd-analyze security --no-pager {unit}")

    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert score
    note(f"systemd-analyze security, {unit.removesuffix('.service')}", score[1])
    assert float(score[1]) <= SANDBOX_LIMIT, said


# What the package's scripts do is the same on each release.
@pytest.mark.parametrize("suite", ["bookworm"], indirect=True, scope="session")
def test_upgrade_keeps_what_lay_among_the_secrets(host: Host, kept: dict[str, str], deb: Path) -> None:
    """A setting that is no secret, and a key that the settings name by its file; no hostile name gets into a unit."""
    machine = host.machine
    machine.put(f"{FOLDER}/flower__port", "5556", mode=0o600, owner="concord")
    machine.put(f"{FOLDER}/x\nExecStartPre=+touch /root/hostile", "", mode=0o600, owner="concord")
    machine.put("/etc/concord/concord.toml", f'secret_key_file = "{FOLDER}/secret_key"\n')

    machine.install(deb, options="--reinstall")

    host.wait_until_up()
    assert machine.ok("curl -s -o /dev/null http://127.0.0.1:5556/")
    lines = machine.path(DROP_IN).read_text(encoding="utf-8").splitlines()
    assert lines[1:] == [
        "[Service]",
        f"LoadCredential=flower__port:{FOLDER}/flower__port",
        "SetCredential=flower__port:-",
    ]
    assert machine.json("concord secrets check --json")
