"""One more worker: a file, a unit instance, and the right to move it (M6, O4)."""

from __future__ import annotations

import json

import pytest

from tests.package.host import ADMIN, DAEMONS, TARGET, WORKERS, Host

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

EXTRA = "concord-worker@extra.service"
RULE = "/etc/polkit-1/rules.d/50-concord.rules"
WANTS = "/etc/systemd/system/concord-celery.target.wants"
# What a name would have to be like to become a line of polkit's rule, a path, or another unit.
TRICKS = (
    "..",
    "...",
    "-rf",
    "cron.service",
    "cron.service\nx",
    'x", "cron.service',
    "x\\x2f..",
    "UPPER",
    "x@y",
    "x*",
    "$(id)",
    "%n",
)


def test_added_worker_is_started_by_the_user_concord_and_consumes(host: Host) -> None:
    """M6."""
    host.machine.run("concord worker add extra --type mail --concurrency 1")

    host.machine.run("concord service start --only worker@extra", user="concord")

    assert host.active([EXTRA]) == [True]
    rows = host.machine.json("concord service status --json")["daemons"]
    assert "worker@extra" in {row["name"] for row in rows}


def test_added_worker_works_alone(host: Host) -> None:
    """M6."""
    host.add_account("office")
    host.machine.run(["systemctl", "stop", WORKERS[1]])

    host.deliver("office", 3)

    host.wait_for_events()
    host.machine.run(["systemctl", "start", WORKERS[1]])


def test_added_worker_moves_with_the_target(host: Host) -> None:
    """W2."""
    host.machine.run(f"systemctl stop {TARGET}")
    host.machine.wait_until(lambda: not host.machine.pids(EXTRA), within=45)

    host.machine.run(f"systemctl start {TARGET}")

    host.wait_until_up([EXTRA])


def test_user_concord_adds_and_removes_a_worker_without_being_root(host: Host) -> None:
    """M6, M3: as the admin site does it; what only root may do, concord-workers.service does."""
    added = host.machine.output("concord worker add more --type mail --concurrency 1", user="concord", timeout=60)
    assert "more.json is written" in added
    host.machine.run("concord service start --only worker@more", user="concord")
    assert host.active(["concord-worker@more.service"]) == [True]

    host.machine.run("concord service stop --only worker@more", user="concord")
    host.machine.run("concord worker remove more", user="concord")

    assert "more" not in host.machine.output(f"systemctl show --property=Wants {TARGET}")
    began = host.machine.run(
        ["busctl", "call", *START, "ss", "concord-worker@more.service", "replace"], user="concord", check=False
    )
    assert began.returncode


def test_root_follows_no_link_and_opens_no_file_of_the_user_concord(host: Host) -> None:
    """M3: what a taken-over admin service could put there."""
    folder = "/etc/concord/workers"
    host.machine.run(
        f"ln -s /etc/shadow {folder}/evil.json; ln -s /etc/shadow {folder}/evil.new; mkfifo {folder}/fifo.json;"
        f" touch '{folder}/ssh.service.json' '{folder}/x y.json'",
        user="concord",
    )
    before = host.machine.output("stat -c '%Y %s %U %a' /etc/shadow")

    done = host.machine.run("systemctl start concord-workers.service")

    assert done.returncode == 0
    wants = host.machine.output("ls /etc/systemd/system/concord-celery.target.wants").split()
    assert "concord-worker@evil.service" in wants
    assert not [name for name in wants if "ssh" in name or " " in name]
    assert host.machine.output("stat -c '%Y %s %U %a' /etc/shadow") == before
    host.machine.run(f"rm -f {folder}/evil.* {folder}/fifo.json {folder}/ssh.service.json '{folder}/x y.json'")
    host.machine.run("systemctl start concord-workers.service")


def test_name_of_a_file_adds_no_word_to_what_root_writes(host: Host) -> None:
    """M3: names are all that root reads there; what is none of a worker's leads to no unit and into no rule."""
    folder = host.machine.path("/etc/concord/workers")
    rule, wants = host.machine.path(RULE).read_text(encoding="utf-8"), host.machine.output(f"ls {WANTS}")
    names = [*TRICKS, "n" * 40]
    for name in names:
        host.machine.run(["touch", "--", f"/etc/concord/workers/{name}.json"], user="concord")

    host.machine.run("systemctl start concord-workers.service && concord worker polkit --write")

    assert host.machine.path(RULE).read_text(encoding="utf-8") == rule
    assert host.machine.output(f"ls {WANTS}") == wants
    assert "cron" not in rule
    for name in names:
        (folder / f"{name}.json").unlink()


def test_unit_of_an_added_worker_is_the_packages_own_whatever_concord_tries(host: Host) -> None:
    """M3: no command, no user and no sandbox of its own choice; and what lies in its file gives nothing away."""
    host.machine.run("ln -s /etc/shadow /etc/concord/workers/evil.json", user="concord")
    host.machine.run("systemctl start concord-workers.service")
    unit = "concord-worker@evil.service"
    evil = "[Service]\nUser=root\nExecStart=\nExecStart=/bin/touch /evil\n"
    for place in (
        f"/etc/systemd/system/{unit}",
        f"/etc/systemd/system/{unit}.d/evil.conf",
        f"/run/systemd/system/{unit}.d/evil.conf",
        f"/run/systemd/system.control/{unit}.d/evil.conf",
        f"{WANTS}/{unit}",
        "/etc/polkit-1/rules.d/00-evil.rules",
        "/etc/concord/workers.new",
    ):
        folder = place.rpartition("/")[0]
        assert not host.machine.ok(f"mkdir -p {folder} && printf '{evil}' > {place}", user="concord"), place
    assert not host.machine.ok("mv /etc/concord/workers /etc/concord/away", user="concord")

    shown = host.machine.show(unit, "FragmentPath", "DropInPaths", "User", "ExecStart", "NoNewPrivileges")
    assert shown["FragmentPath"].endswith("/systemd/system/concord-worker@.service")
    assert [path.rpartition("/")[2] for path in shown["DropInPaths"].split()] == ["common.conf"]
    assert (shown["User"], shown["NoNewPrivileges"]) == ("concord", "yes")
    assert "argv[]=/usr/bin/concord worker run evil ;" in shown["ExecStart"]

    host.machine.run(["systemctl", "start", unit], check=False)
    host.machine.run(["systemctl", "stop", unit])
    told = host.machine.journal(unit)
    assert "A worker's file cannot be read" in told
    assert "root:" not in told
    assert not host.machine.path("/evil").exists()
    host.machine.run("rm /etc/concord/workers/evil.json; systemctl start concord-workers.service")


def test_file_that_is_none_harms_neither_its_worker_nor_the_admin_service(host: Host) -> None:
    """M6: endless, a pipe, a folder: told as what it is, and nobody waits or runs out of memory."""
    folder = "/etc/concord/workers"
    host.machine.run(f"truncate -s 8G {folder}/endless.json; mkfifo {folder}/fifo.json", user="concord")
    host.machine.run("systemctl start concord-workers.service")
    before = host.main_pids()

    rows = json.loads(host.machine.run("concord service status --json", user="concord", check=False).stdout)

    causes = {trouble["what"]: trouble["error"]["facts"]["cause"] for trouble in rows["troubles"]}
    assert causes == {"worker@endless": "it is longer than 64 KiB", "worker@fifo": "it is no regular file"}
    told = host.machine.output("curl -s http://127.0.0.1:3000/healthz")
    assert '"status":"ok"' in told.replace(" ", "")
    assert host.main_pids() == before
    host.machine.run(f"rm {folder}/endless.json {folder}/fifo.json; systemctl start concord-workers.service")


@pytest.mark.parametrize("unit", DAEMONS)
def test_of_the_daemons_only_the_admin_service_reaches_the_workers_files(host: Host, unit: str) -> None:
    """D2: whoever reads mail from strangers does not."""
    probe = "/etc/concord/workers/probe"
    within = ["nsenter", f"--target={host.machine.main_pid(unit)}", "--mount"]

    done = host.machine.run([*within, "touch", probe], check=False)

    assert (done.returncode == 0) == (unit == ADMIN), done.stderr
    assert unit == ADMIN or "Read-only file system" in done.stderr
    host.machine.run(["rm", "-f", probe])


def test_many_workers_are_refused(host: Host) -> None:
    """M3."""
    host.machine.run("for n in $(seq 40); do touch /etc/concord/workers/many$n.json; done", user="concord")

    done = host.machine.run("systemctl start concord-workers.service", check=False)

    assert done.returncode
    assert "too many workers" in host.machine.journal("concord-workers.service")
    assert "many" not in host.machine.output("ls /etc/systemd/system/concord-celery.target.wants")
    host.machine.run("rm /etc/concord/workers/many*.json")


def test_poll_interval_of_a_worker_holds_at_once(host: Host) -> None:
    """M6."""
    said = host.machine.run("concord worker set poll poll_interval=30")

    assert said.returncode == 0
    assert host.machine.json("concord worker show poll --json")["config"]["poll_interval"] == 30


def test_mistake_in_a_workers_file_is_told_by_its_unit(host: Host) -> None:
    """M6: file, key and remedy, in the journal of the unit that cannot start."""
    host.machine.put("/etc/concord/workers/broken.json", '{"type": "mail", "concurency": 4}')

    done = host.machine.run("systemctl start concord-worker@broken.service", check=False)

    assert done.returncode
    said = host.machine.journal("concord-worker@broken.service")
    assert "concurency" in said
    assert "concurrency" in said
    assert "/etc/concord/workers/broken.json" in said
    host.machine.run("systemctl stop concord-worker@broken.service; rm /etc/concord/workers/broken.json")


def test_removed_worker_is_gone_for_the_target_and_for_polkit(host: Host) -> None:
    """M3, M6."""
    refused = host.machine.run("concord worker remove extra", check=False)
    assert refused.returncode
    host.machine.run("concord service stop --only worker@extra")

    host.machine.run("concord worker remove extra")

    began = host.machine.run(["busctl", "call", *START, "ss", EXTRA, "replace"], user="concord", check=False)
    assert began.returncode
    host.machine.run(f"systemctl restart {TARGET}")
    host.wait_until_up()
    assert host.active([EXTRA]) == [False]


START = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartUnit")
