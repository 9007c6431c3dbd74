"""`apt install ./concord_*.deb` on a fresh Debian, and nothing else: mail becomes events (W1, W4, D5, D6)."""

from __future__ import annotations

import json
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.figures import Note
from tests.package.host import ADMIN, DAEMONS, MEMBERS, MIGRATE, TARGET, Host
from tests.package.machine import Machine
from tests.package.trees import PASSWORD

CREDENTIALS = "/etc/concord/credentials"


@dataclass(frozen=True, slots=True)
class Installation:
    """A host, and how it came to be."""

    host: Host
    said: str  # by apt
    seconds: float


@pytest.fixture(scope="module")
def installed(suite: str, deb: Path) -> Iterator[Installation]:
    """A machine on which nothing was typed but apt's line, then one mailbox added."""
    with Machine(suite) as machine:
        began = time.monotonic()
        said = machine.install(deb)
        seconds = time.monotonic() - began
        host = Host(machine)
        host.wait_until_up()
        yield Installation(host, said, seconds)


def test_installation_enables_and_starts_everything(installed: Installation, note: Note) -> None:
    """W1, D1."""
    machine = installed.host.machine

    assert all(installed.host.active([TARGET, MIGRATE, *DAEMONS]))
    assert machine.output(f"systemctl is-enabled {TARGET} {ADMIN}").split() == ["enabled", "enabled"]
    assert machine.output("systemctl --failed --no-legend --plain") == ""
    assert machine.output("dpkg --audit") == ""
    note("installation, Redis and all else being there", f"{installed.seconds:.1f} s")
    note("installed size", f"{int(machine.output('du -sm /usr/lib/concord | cut -f1'))} MB")


def test_installation_tells_what_to_do_next(installed: Installation) -> None:
    """W1."""
    for hint in ("concord account add", "concord service status", "localhost:5555", f"{CREDENTIALS}/flower__password"):
        assert hint in installed.said
    assert "warning" not in installed.said.lower()


def test_operators_documents_are_in_the_package(installed: Installation) -> None:
    files = installed.host.machine.output("dpkg -L concord")

    for name in (
        "doc/concord/README.md",
        "doc/concord/security.md",
        "doc/concord/sbom.cdx.json",
        "doc/concord/examples/nginx/concord.conf",
        "doc/concord/examples/caddy/Caddyfile",
    ):
        assert f"/usr/share/{name}" in files
    for page in (
        "man1/concord.1",
        "man5/concord.toml.5",
        "man8/concord-admin.service.8",
        "man8/concord-celery.target.8",
    ):
        assert f"/usr/share/man/{page}" in files


def test_first_mail_becomes_an_event(installed: Installation, note: Note) -> None:
    """W1, P1 to P7."""
    host = installed.host
    host.deliver("office")

    host.add_account("office")

    took = host.wait_for_events(within=60)
    note("first mailbox added to first event", f"{took:.1f} s")


def test_admin_service_says_that_all_is_well(installed: Installation) -> None:
    """W1."""
    told = json.loads(installed.host.machine.output("curl -s http://127.0.0.1:3000/healthz"))

    assert told["status"] == "ok", told


def test_admin_site_asks_who_one_is(installed: Installation) -> None:
    """W1: whoever is nobody yet is led to the form, which says how to make the first user."""
    machine, ask = installed.host.machine, "curl -s -H 'Accept: text/html'"

    led = machine.output(f"{ask} -o /dev/null -w '%{{http_code}} %{{redirect_url}}' http://127.0.0.1:3000/admin")
    form = machine.output(f"{ask} --fail {led.split()[1]}")

    assert led == "303 http://127.0.0.1:3000/admin/login?next=/admin"
    assert "Concord" in form
    assert 'action="/admin/login"' in form
    assert "concord user add" in form


def test_flower_asks_for_its_password(installed: Installation) -> None:
    """W4."""
    machine = installed.host.machine
    ask = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5555/workers"
    password = machine.path(f"{CREDENTIALS}/flower__password").read_text(encoding="utf-8").strip()

    assert machine.output(ask) == "401"
    assert machine.output(f"{ask} --config -", stdin=f'user = "concord:{password}"\n') == "200"


def test_daemons_listen_on_this_machine_only(installed: Installation) -> None:
    said = installed.host.machine.output("ss -Hltnp")

    addresses = [line.split()[3] for line in said.splitlines() if re.search(r'"(concord|python)', line)]
    assert {address.rpartition(":")[2] for address in addresses} == {"3000", "5555"}
    assert all(address.startswith("127.0.0.1:") for address in addresses)


@pytest.mark.parametrize("unit", [MIGRATE, *DAEMONS])
def test_status_of_a_unit_says_what_it_does_and_where_to_read_on(installed: Installation, unit: str) -> None:
    """W2."""
    text = installed.host.machine.output(["systemctl", "status", "--no-pager", unit])

    assert "Docs: man:concord-celery.target(8)" in text
    assert re.search(r'Status: "\w.*"', text), text


def test_only_concord_reads_its_credentials(installed: Installation) -> None:
    """D5."""
    machine = installed.host.machine
    folder = machine.path(CREDENTIALS)

    names = sorted(path.name for path in folder.iterdir())

    assert names == ["flower__password", "secret_key"]
    assert machine.output(f"stat -c '%U %G %a' {CREDENTIALS}") == "concord concord 700"
    for name in names:
        assert machine.output(f"stat -c '%U %G %a' {CREDENTIALS}/{name}") == "concord concord 600"
    assert not machine.ok(f"cat {CREDENTIALS}/secret_key", user="nobody")


@pytest.mark.parametrize(
    ("place", "mode"),
    [("/var/lib/concord", "750"), ("/var/log/concord", "750"), ("/run/concord", "750")],
)
def test_directories_belong_to_concord(installed: Installation, place: str, mode: str) -> None:
    assert installed.host.machine.output(f"stat -c '%U %G %a' {place}") == f"concord concord {mode}"


def test_nobody_else_reads_the_mail(installed: Installation) -> None:
    machine = installed.host.machine

    assert not machine.ok("ls /var/lib/concord", user="nobody")
    loose = machine.output("find /var/lib/concord -perm /027 -printf '%M %p\\n'").splitlines()
    assert [line for line in loose if line[4:10] not in ("r-----", "r-x---", "------")] == []


def test_no_secret_is_told(installed: Installation) -> None:
    """A3: neither to the journal, nor in arguments or environments of processes."""
    machine = installed.host.machine
    secrets = [path.read_text(encoding="utf-8").strip() for path in machine.path(CREDENTIALS).iterdir()]
    secrets.append(PASSWORD)

    journal = machine.output("journalctl --no-pager --all -o json")
    processes = machine.output("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'")

    for secret in secrets:
        assert secret not in journal
        assert secret not in processes


def test_command_run_as_root_leaves_nothing_of_roots(installed: Installation) -> None:
    """A file that root made in the archive would stop the daemons at night."""
    host = installed.host
    for words in ("account list", "event list", "message list --json", "sync-email-tasks", "config check"):
        host.machine.run(f"concord {words}")

    assert host.machine.output("find /var/lib/concord /run/concord /var/log/concord ! -user concord") == ""


@pytest.mark.parametrize(
    "page", ["concord.1", "concord.toml.5", "concord-celery.target.8", "concord-worker@.service.8"]
)
def test_manual_page_is_installed(installed: Installation, page: str) -> None:
    section = page.rpartition(".")[2]

    assert installed.host.machine.path(f"/usr/share/man/man{section}/{page}.gz").is_file()


def test_shells_complete_the_command(installed: Installation) -> None:
    root = installed.host.machine.path("/usr/share")

    found = [path for path in ("bash-completion/completions/concord", "zsh/vendor-completions/_concord",
                               "fish/vendor_completions.d/concord.fish") if (root / path).is_file()]  # fmt: skip

    assert len(found) == 3


def test_programs_and_settings_cannot_be_changed_by_the_user_concord(installed: Installation) -> None:
    places = "/usr/lib/concord /usr/bin/concord /etc/concord /etc/systemd/system /etc/polkit-1"
    looked = f"find {places} -writable ! -type l ! -path '*/credentials*'"

    writable = installed.host.machine.output(f"{looked} 2>/dev/null || true", user="concord")

    # The admin site adds workers: each is a file in here. What root makes of them, it makes of their names alone, and
    # only of good ones (concord-workers.service; test_workers.py tries to trick it).
    assert writable == "/etc/concord/workers"


def test_idle_memory_is_noted(installed: Installation, note: Note) -> None:
    """The figure for the closing note; a daemon that takes half a gigabyte to do nothing is a bug."""
    for unit in (*MEMBERS, ADMIN):
        used = installed.host.memory(unit)
        assert used < 500_000_000
        note(f"memory when idle (PSS), {unit.removesuffix('.service')}", f"{used / 1e6:.0f} MB")


def test_conffile_has_no_secret_and_is_readable(installed: Installation) -> None:
    mode = installed.host.machine.path("/etc/concord/concord.toml").stat().st_mode

    assert stat.S_IMODE(mode) in (0o644, 0o640)
