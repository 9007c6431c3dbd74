"""Upgrades: with mail flowing, of a set that an operator stopped, and with a migration that fails (D1, D5, D6)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.figures import Note
from tests.package import debs
from tests.package.host import ADMIN, DAEMONS, MEMBERS, MIGRATE, TARGET, Host, sleep_through

# The release matters little to these stories; test_upgrade_pause.py and test_upgrade_workers.py upgrade on Debian 13.
pytestmark = pytest.mark.parametrize("suite", ["bookworm"], indirect=True, scope="session")

FAILING = 'op.execute("CREATE UNIQUE INDEX probe_unique ON messages (state)")'
REASON = "UNIQUE constraint failed: messages.state"


class Versions:
    """Ever newer versions of the package, each with the migrations of those before it."""

    def __init__(self, deb: Path, folder: Path) -> None:
        self.newest = deb
        self._folder = folder
        self._number = 0

    def next(self, *, migration: str = "", instead: bool = False) -> Path:
        """The next version, with a migration more; or one in the place of the last version's (`instead`)."""
        drop = f"probe{self._number}" if instead else ""
        self._number += 1
        self.newest = debs.next_version(self.newest, self._folder, self._number, migration=migration, drop=drop)
        return self.newest


@pytest.fixture(scope="module")
def versions(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """What is built after the version that is installed first."""
    return Versions(deb, tmp_path_factory.mktemp("versions"))


def test_upgrade_with_mail_flowing_loses_and_doubles_none(host: Host, versions: Versions, note: Note) -> None:
    """D6: one mail every 200 ms, before, during and after."""
    fresh = versions.next(migration='op.create_table("probe", sa.Column("id", sa.Integer()))')
    host.add_account("office", interval=1)
    host.deliver("office", 5)
    host.wait_for_events()
    host.machine.run("concord worker add extra --type mail --concurrency 1", user="concord")
    host.machine.run("concord service start --only worker@extra", user="concord")

    with host.flow("office"):
        sleep_through(8, "mail before the upgrade")
        began = time.monotonic()
        host.machine.install(fresh)
        took = time.monotonic() - began
        sleep_through(8, "mail after it")

    host.wait_for_events(within=90)
    pause = host.longest_pause("office")
    note("upgrade with mail flowing, the whole of apt", f"{took:.1f} s")
    # With neighbours on the same cores and without dpkg's fsyncs; test_upgrade_pause.py holds it to its limit, alone.
    note("upgrade with mail flowing, longest pause between two events", f"{pause:.1f} s")
    note("upgrade with mail flowing, lost or doubled", f"0 of {len(host.delivered)}")
    assert host.query("SELECT count(*) FROM probe") == [[0]]
    assert all(host.active([TARGET, MIGRATE, "concord-worker@extra.service", *DAEMONS]))
    host.machine.run("concord service stop --only worker@extra && concord worker remove extra", user="concord")


def test_upgrade_leaves_alone_what_an_operator_changed(host: Host, versions: Versions) -> None:
    """D5: settings and secrets; and a set that was stopped stays stopped."""
    machine = host.machine
    machine.put("/etc/concord/concord.toml", "[poll]\ninterval = 45\n")
    secrets = machine.output("sha256sum /etc/concord/credentials/*")
    machine.run("concord service stop")
    was = machine.main_pid(ADMIN)

    said = machine.install(versions.next(), options="-o Dpkg::Options::=--force-confold")

    assert "Setting up concord" in said
    assert machine.path("/etc/concord/concord.toml").read_text(encoding="utf-8") == "[poll]\ninterval = 45\n"
    assert machine.output("sha256sum /etc/concord/credentials/*") == secrets
    host.wait_until_up([ADMIN])
    assert machine.main_pid(ADMIN) != was
    assert not any(host.active([TARGET, *MEMBERS]))
    assert machine.output(f"systemctl is-enabled {TARGET}") == "enabled"
    machine.run(f"systemctl start {TARGET}")
    host.wait_until_up()


@pytest.fixture(scope="module")
def broken_host(host: Host, versions: Versions) -> Host:
    """Upgraded to a version whose migration cannot succeed."""
    host.wait_until_up()
    host.machine.install(versions.next(migration=FAILING))
    return host


def test_failed_migration_leaves_the_package_configured(broken_host: Host) -> None:
    """D6, trap 78."""
    machine = broken_host.machine

    assert machine.output("dpkg-query -W -f '${Status} ${Version}' concord").endswith(".probe3")
    assert machine.output("dpkg-query -W -f '${Status}' concord") == "install ok installed"
    assert machine.output("dpkg --audit") == ""


def test_failed_migration_says_why_where_an_operator_looks(broken_host: Host) -> None:
    """D6."""
    said = broken_host.machine.run(["systemctl", "status", "--no-pager", "--lines=40", MIGRATE], check=False).stdout

    assert REASON in said
    assert "failed" in said


def test_no_daemon_works_on_a_schema_that_is_not_its_own(broken_host: Host) -> None:
    """D6."""
    assert broken_host.active(MEMBERS) == [False] * 5


def test_admin_service_is_there_and_tells_that_the_schema_is_old(broken_host: Host) -> None:
    """W2."""
    broken_host.wait_until_up([ADMIN])

    told = json.loads(broken_host.machine.output("curl -s http://127.0.0.1:3000/healthz"))

    assert told["status"] == "degraded"
    assert not told["checks"]["database"]["ok"]


def test_manager_says_which_dependency_failed(broken_host: Host) -> None:
    """M2."""
    done = broken_host.machine.run("concord service start", user="concord", check=False, timeout=200)

    assert done.returncode == 1
    assert "concord-migrate" in done.stdout + done.stderr
    assert REASON in done.stdout + done.stderr


def test_mended_version_takes_up_where_the_failed_one_left(broken_host: Host, versions: Versions) -> None:
    """D6: mail that came meanwhile is there."""
    host = broken_host
    host.deliver("office", 5)
    host.machine.install(versions.next(migration="pass", instead=True))

    host.machine.run(f"systemctl start {TARGET}")

    host.wait_until_up()
    host.wait_for_events(within=60)
    assert host.machine.output("systemctl --failed --no-legend --plain") == ""


def test_retry_without_a_new_version_works_once_the_cause_is_gone(host: Host, versions: Versions) -> None:
    """D6: `systemctl start` of the target runs the migration again."""
    machine = host.machine
    gate = 'import os; assert os.path.exists("/var/lib/concord/enough-room"), "no room"'
    machine.install(versions.next(migration=gate))
    assert not any(host.active(MEMBERS))
    machine.put("/var/lib/concord/enough-room", "", owner="concord")

    machine.run(f"systemctl start {TARGET}")

    host.wait_until_up()


def test_older_version_refuses_a_newer_schema_in_words(host: Host, deb: Path) -> None:
    """D1: and leaves the database as it is."""
    machine = host.machine
    before = host.query("SELECT version_num FROM alembic_version")

    machine.install(deb, options="--allow-downgrades")

    said = machine.run(["systemctl", "status", "--no-pager", "--lines=40", MIGRATE], check=False).stdout
    assert "newer Concord" in said
    assert not any(host.active(MEMBERS))
    assert host.query("SELECT version_num FROM alembic_version") == before
