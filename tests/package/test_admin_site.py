"""The admin site moves the units of a booted machine over D-Bus, and adds and removes workers (U1, W3, M3, M4, M6)."""

from __future__ import annotations

import pytest

from tests.figures import Note
from tests.package.host import ADMIN, DAEMONS, MEMBERS, TARGET, WORKERS, Host
from tests.package.site import JOBS, LIST, Browser, Program, add_user, token_of

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

EXTRA = "concord-worker@extra.service"
RULE = "/etc/polkit-1/rules.d/50-concord.rules"
FILE = "/etc/concord/workers/extra.json"
UNITS = {"beat": MEMBERS[0], "worker@poll": WORKERS[0], "flower": MEMBERS[4]}


@pytest.fixture(scope="module")
def alice(host: Host) -> Browser:
    """An admin."""
    return add_user(host.machine, "alice", "admin")


@pytest.fixture(scope="module")
def bob(host: Host) -> Browser:
    """An operator."""
    return add_user(host.machine, "bob", "operator")


@pytest.fixture(scope="module")
def program(host: Host, bob: Browser) -> Program:
    """With a token of the operator's, which may look and move."""
    return token_of(host.machine, "bob", "read", "operate")


@pytest.fixture(scope="module")
def admins_program(host: Host, alice: Browser) -> Program:
    """With a token that may add workers."""
    return token_of(host.machine, "alice", "read", "admin")


def audited(host: Host, *, via: str, actor: str) -> set[tuple[str, str, str, str]]:
    """Action, subject, outcome and address of whatever somebody asked for in one way."""
    rows = host.machine.json(f"concord audit list --json --limit 500 --via {via} --actor {actor}")
    return {(row["action"], row["subject"], row["outcome"], row["address"]) for row in rows}


def test_operator_restarts_one_worker_and_sees_how_it_goes(host: Host, bob: Browser, note: Note) -> None:
    """U1, M4: the job's lines come while it runs, and no other unit moves."""
    before = host.main_pids()

    over = bob.move("restart", only="worker@mail")

    after = host.main_pids()
    assert [unit for unit in DAEMONS if before[unit] != after[unit]] == [WORKERS[1]]
    for line in ("restarting worker@mail", "making the schedule equal to the accounts", "done after"):
        assert line in over.words
    assert "All daemons work." in over.words
    note("page: restart of a worker, until it is proved to work", f"{over.seconds:.1f} s")


def test_operator_stops_and_starts_one_worker(host: Host, bob: Browser) -> None:
    """W3."""
    stopped = bob.move("stop", only="worker@mail")

    assert host.active(WORKERS) == [True, False, True]
    assert "Not all of the mail service works." in stopped.words
    started = bob.move("start", only="worker@mail")
    assert host.active(WORKERS) == [True, True, True]
    assert "All daemons work." in started.words


def test_operator_stops_and_starts_the_whole_service_with_its_target(host: Host, bob: Browser, note: Note) -> None:
    """W2, M4."""
    stopped = bob.move("stop")

    assert host.active([TARGET, *MEMBERS]) == [False] * 6
    assert not any(host.machine.pids(unit) for unit in MEMBERS)
    assert "The mail service is stopped." in stopped.words
    started = bob.move("start")
    assert all(host.active([TARGET, *DAEMONS]))
    for line in ("starting beat, worker@poll, worker@mail, worker@deliver, flower", "All daemons work."):
        assert line in started.words
    note("page: start of the whole service, until it is proved to work", f"{started.seconds:.1f} s")


def test_token_restarts_the_whole_service(host: Host, program: Program) -> None:
    """U6: everything the pages do, the API does."""
    before = host.main_pids()

    job = program.move("restart").json

    after = host.main_pids()
    assert (job["state"], job["by"], job["subject"]) == ("done", "bob", "all"), job
    assert [unit for unit in DAEMONS if before[unit] == after[unit]] == [ADMIN]
    assert job["sync"]["total"] == 0
    assert any("waiting for" in line["text"] or "restarting" in line["text"] for line in job["lines"])
    assert program("GET", f"/api/v1/jobs/{job['id']}").json == job


@pytest.mark.parametrize("name", UNITS)
def test_token_moves_each_unit_alone(host: Host, program: Program, name: str) -> None:
    """M2."""
    unit, others = UNITS[name], [one for one in DAEMONS if one != UNITS[name]]
    before = host.main_pids(others)

    for verb, runs in (("stop", False), ("start", True)):
        job = program.move(verb, name).json
        assert job["state"] == "done", job
        assert host.active([unit]) == [runs]

    assert host.main_pids(others) == before


def test_token_without_the_scope_moves_nothing(host: Host, bob: Browser) -> None:
    """U7."""
    before = host.main_pids()

    answer = token_of(host.machine, "bob", "read")("POST", "/api/v1/service/stop")

    assert (answer.status, answer.json["status"]) == (403, 403)
    assert "token" in answer.json["detail"]
    assert host.main_pids() == before


def test_everything_was_written_down_with_user_and_address(host: Host, bob: Browser, program: Program) -> None:
    """M3."""
    pages, calls = (audited(host, via=via, actor="bob") for via in ("admin", "api"))

    for verb, subject in (("restart", "worker@mail"), ("stop", "worker@mail"), ("start", "all"), ("stop", "all")):
        assert (f"service.{verb}", subject, "done", "127.0.0.1") in pages
    for verb, subject in (("restart", "all"), ("stop", "beat"), ("start", "worker@poll"), ("start", "flower")):
        assert (f"service.{verb}", subject, "done", "127.0.0.1") in calls
    host.machine.run("concord audit verify")


def test_admin_service_restarts_itself_and_knows_whose_wish_that_was(host: Host, bob: Browser) -> None:
    """M3: whoever asked is still signed in, and told that the job went with the process."""
    before = host.main_pids([ADMIN])

    job = bob.submit(f"{LIST}/service/restart", only="admin").place

    host.machine.wait_until(
        lambda: host.active([ADMIN]) == [True] and host.main_pids([ADMIN]) != before, within=30, why="it is back"
    )
    page = bob.get(job)
    assert page.status == 404
    assert "has restarted since" in page.words
    assert ("service.restart", "admin", "done", "127.0.0.1") in audited(host, via="admin", actor="bob")
    assert "timeout graceful shutdown exceeded" not in host.machine.journal(ADMIN)


def test_admin_adds_a_worker_which_systemd_knows_and_starts(host: Host, alice: Browser) -> None:
    """W3, M6."""
    form = alice.get(f"{LIST}/add")
    assert "Mail service (Celery)" in form.words

    fields = {"name": "extra", "type": "mail", "concurrency": "1", "prefetch": "", "start": "1"}
    led = alice.submit(f"{LIST}/add", page=f"{LIST}/add", **fields)

    assert led.place.startswith(f"{JOBS}/"), led.text
    over = alice.watch(led.place, 0)
    assert "The worker extra is added" in over.words
    assert "done after" in over.words
    assert host.active([EXTRA]) == [True]
    assert host.machine.output(f"stat -c '%U %G %a' {FILE}") == "concord concord 640"
    shown = host.machine.show(EXTRA, "NeedDaemonReload", "FragmentPath", "User", "DropInPaths")
    assert (shown["NeedDaemonReload"], shown["User"]) == ("no", "concord")
    assert shown["FragmentPath"].endswith("/systemd/system/concord-worker@.service")
    assert EXTRA in host.machine.show(TARGET, "Wants")["Wants"].split()
    assert host.machine.path(RULE).read_text(encoding="utf-8").count(EXTRA) == 1
    assert "worker@extra" in alice.get(LIST).words


def test_running_worker_is_not_removed_and_a_stopped_one_is(host: Host, alice: Browser, bob: Browser) -> None:
    """W3."""
    place = f"{LIST}/worker@extra/remove"
    assert "worker@extra" in alice.get(place).words
    refused = alice.submit(place, page=place)
    assert (refused.status, "This worker runs" in refused.words) == (409, True)
    bob.move("stop", only="worker@extra")
    assert bob.get(place).status == 403

    assert alice.submit(place, page=place).place == LIST

    page = alice.get(LIST)
    assert "The worker extra is removed." in page.words
    assert f'href="{LIST}/worker@extra"' not in page.text
    assert not host.machine.path(FILE).exists()
    assert EXTRA not in host.machine.show(TARGET, "Wants")["Wants"].split()
    assert EXTRA not in host.machine.path(RULE).read_text(encoding="utf-8")


def test_program_adds_changes_starts_and_removes_a_worker(
    host: Host, admins_program: Program, program: Program
) -> None:
    """U6: the same story without a page."""
    added = admins_program("POST", "/api/v1/workers", {"name": "extra", "document": {"type": "mail"}})
    assert added.status == 201, added.text
    assert added.json["known_to_manager"]
    changed = admins_program("PUT", "/api/v1/workers/extra", {"type": "mail", "concurrency": 1})
    assert (changed.status, changed.json["config"]["concurrency"]) == (200, 1), changed.text
    started = program.move("start", "worker@extra").json
    assert (started["state"], host.active([EXTRA])) == ("done", [True]), started

    assert admins_program("DELETE", "/api/v1/workers/extra").status == 409
    assert program.move("stop", "worker@extra").json["state"] == "done"
    assert admins_program("DELETE", "/api/v1/workers/extra").status == 204

    names = [row["name"] for row in program("GET", "/api/v1/service").json["daemons"]]
    assert names == ["beat", "worker@poll", "worker@mail", "worker@deliver", "flower", "admin"]
    assert EXTRA not in host.machine.show(TARGET, "Wants")["Wants"].split()


@pytest.mark.parametrize("name", ["..%2f..%2fcron", "cron.service", "x%0aUser=root", "UPPER", "a" * 32])
def test_name_that_is_no_workers_reaches_neither_disk_nor_systemd(
    host: Host, alice: Browser, admins_program: Program, name: str
) -> None:
    """M3."""
    before = host.machine.output("ls -la /etc/concord/workers /etc/systemd/system/concord-celery.target.wants")
    plain = name.replace("%2f", "/").replace("%0a", "\n")

    form = alice.submit(f"{LIST}/add", page=f"{LIST}/add", name=plain, type="mail")
    call = admins_program("POST", "/api/v1/workers", {"name": plain, "document": {"type": "mail"}})
    moved = admins_program("PUT", f"/api/v1/workers/{name}", {"type": "mail"})

    assert (form.status, call.status) == (422, 422)
    assert moved.status in {404, 422}
    after = host.machine.output("ls -la /etc/concord/workers /etc/systemd/system/concord-celery.target.wants")
    assert after == before
