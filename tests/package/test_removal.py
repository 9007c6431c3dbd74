"""Removing, purging and installing again (D6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.package.host import DAEMONS, TARGET, WORKERS, Host

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

EXTRA = "concord-worker@extra.service"
RULE = "/etc/polkit-1/rules.d/50-concord.rules"

LOOK = (
    "find / -xdev -iname '*concord*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/root/*' ! -path '/tmp/*' "
    "! -path '/var/lib/concord/*' ! -path '/var/log/journal/*' ! -path '/var/log/*.log' | sort"
)


def test_removal_stops_everything_and_keeps_what_is_an_operators(host: Host) -> None:
    host.add_account("office")
    host.deliver("office", 3)
    host.wait_for_events()
    machine = host.machine
    machine.run("concord worker add extra --type mail --concurrency 1", user="concord")
    machine.run("concord service start --only worker@extra", user="concord")

    machine.run("apt-get remove -y concord </dev/null")

    assert host.processes() == []
    assert not any(host.active([TARGET, EXTRA, *DAEMONS]))
    for kept in ("concord.toml", "credentials/secret_key", "workers/extra.json"):
        assert machine.path(f"/etc/concord/{kept}").exists()
    assert machine.path("/var/lib/concord/concord.db").exists()
    assert not machine.path("/usr/lib/concord").exists()
    assert not machine.path(RULE).exists()


def test_installing_again_goes_on_with_the_same_data(host: Host, deb: Path) -> None:
    host.machine.install(deb)

    host.wait_until_up([EXTRA, *DAEMONS])
    assert EXTRA in host.machine.path(RULE).read_text(encoding="utf-8")
    host.deliver("office")
    host.wait_for_events()
    assert len(host.events()) == 4


def test_purge_leaves_the_database_and_the_archive_and_names_them(host: Host) -> None:
    machine = host.machine
    # A copy, as the installation asked for.
    machine.run("cp /etc/concord/credentials/secret_key /root/key")

    said = machine.output("apt-get purge -y concord </dev/null 2>&1")

    assert "/var/lib/concord/concord.db (" in said
    assert "/var/lib/concord/archive (" in said
    assert "key" in said
    left = machine.output(LOOK).splitlines()
    assert left == ["/var/lib/concord"], left
    inside = sorted(path.name for path in machine.path("/var/lib/concord").iterdir())
    assert [name for name in inside if not name.startswith("concord.db")] == ["archive"]
    assert machine.output("dpkg-query -W -f '${Status}' concord 2>/dev/null || echo gone").endswith(
        ("gone", "not-installed")
    )
    assert machine.output("systemctl list-units --failed --no-legend --plain 'concord*'") == ""


def test_database_that_was_kept_is_not_opened_with_another_key(host: Host, deb: Path) -> None:
    """A3: the package stays configured, and the refusal says both ways out. Beat has no key: it only sends."""
    machine = host.machine

    machine.install(deb)

    assert machine.output("dpkg --audit") == ""
    assert not any(host.active(WORKERS))
    said = machine.run("concord secrets check", check=False)
    assert said.returncode
    assert "key" in said.stderr


def test_with_its_old_key_back_everything_goes_on(host: Host) -> None:
    machine = host.machine
    machine.run("install -m 600 -o concord -g concord /root/key /etc/concord/credentials/secret_key")

    machine.run(f"systemctl restart {TARGET}")

    host.wait_until_up()
    host.deliver("office")
    host.wait_for_events()
    assert len(host.events()) == 5
