"""A rotation of the key, with daemons that have only the key they were started with (A3; issue 9, B)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select, text

from concord.adapters.key_watch import KeyWatch, tidy
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.engine import transaction
from concord.adapters.sql.key_ring import SqlKeyRing
from concord.adapters.sql.key_tables import key_reports, key_ring, key_rotations
from concord.adapters.sql.rulebook import SqlRulebook
from concord.adapters.sql.sealed import older, verify_key
from concord.adapters.vault import FernetVault, KeySet, fingerprint, new_key
from concord.bootstrap import Concord
from concord.errors import ConflictError, KeyNotSharedError, SecretKeyError
from concord.model.binding import of_handler, of_password
from concord.model.caller import Caller
from concord.model.fault import in_english
from concord.model.key_ring import GRACE, KNOWN, LIVE, KeyReport, Link, Phase, WrappedKey
from concord.model.rule import HandlerSpec
from concord.ports import WorkerPulse
from concord.services import key_file, rotation, secrets
from concord.services.rotation import STEPS
from concord.settings import DatabaseSettings, Settings
from tests.factories import sealed_for, sealed_in
from tests.fakes.pulse import MemoryPulse
from tests.sql_world import account, now

OPERATOR = Caller(actor="root", via="cli")
OLD = new_key()
STEP_NAMES = [step.__name__ for step in STEPS]


class Site:
    """A database with secrets, the key file that an operator changes, and daemons."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.file = folder / "secret_key"
        self.file.write_text(OLD + "\n", encoding="ascii")
        self.file.chmod(0o640)
        self.ring = SqlKeyRing(engine, now)
        self.parts = Concord(Settings(database=DatabaseSettings(url=SecretStr("sqlite://")), secret_key_file=self.file))
        vars(self.parts).update(engine=engine, pulse=MemoryPulse())
        vault = self.parts.sealing()
        SqlAccounts(engine, now).add(sealed_in(vault, account("sales"), "hunter2"))
        SqlRulebook(engine).save_handler(sealed_for(vault, HandlerSpec(name="hook", kind="webhook"), "whsec"))

    def rotate(self, *, patience: float = 5.0) -> rotation.Rotated:
        return rotation.rotate(self.parts, patience=patience, by=OPERATOR)

    def daemon(self, *keys: str) -> FernetVault:
        """One that read these keys at its start: systemd's copy of a credential never changes."""
        return FernetVault(lambda: list(keys), self.ring.read)

    def restarted(self) -> FernetVault:
        """One that has the file as it is now."""
        return FernetVault(lambda: key_file.keys(self.file), self.ring.read)

    def watch(self, name: str, vault: FernetVault) -> KeyWatch:
        return KeyWatch(name, lambda: vault, self.ring, self.engine, now)

    def opens(self, vault: FernetVault) -> bool:
        """Whether all secrets open: those that were there at the start, and one that somebody adds now."""
        try:
            verify_key(self.engine, vault)
            opened = [vault.unseal(one.secret, of_password(one)) for one in SqlAccounts(self.engine, now).all()]
            opened += [vault.unseal(one.secret, of_handler(one)) for one in SqlRulebook(self.engine).handlers()]
        except SecretKeyError:
            return False
        return opened == ["hunter2", "whsec"]


@pytest.fixture
def site(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Nothing rotated yet; no daemon runs."""
    monkeypatch.setattr(rotation, "_A_LOOK", 0.1)  # the daemons here look twenty times a second
    return Site(engine, tmp_path)


@pytest.fixture
def running(site: Site) -> Iterator[Site]:
    """A daemon under systemd: it has the old key only, and reports."""
    watch = site.watch("mail@here", site.daemon(OLD))
    watch.look()
    stop = threading.Event()

    def keep_looking() -> None:
        while not stop.wait(0.05):
            watch.look()

    thread = threading.Thread(target=keep_looking)
    thread.start()
    yield site
    stop.set()
    thread.join()


def test_daemon_with_the_old_key_only_opens_what_the_new_key_sealed(running: Site) -> None:
    """LoadCredential copies at the start: nobody has to restart it."""
    daemon = running.daemon(OLD)
    assert running.opens(daemon)

    done = running.rotate()

    assert running.opens(daemon)
    assert running.opens(running.daemon(OLD))
    assert key_file.keys(running.file) != [OLD]
    assert (done.done.accounts, done.done.handlers, done.restarting) == (1, 1, ("mail@here",))


def test_daemon_with_the_old_key_only_seals_with_the_new_one(running: Site) -> None:
    running.rotate()

    sealed = running.daemon(OLD).seal("given later")

    [new] = key_file.keys(running.file)
    assert KeySet.of([new]).unseal(sealed) == "given later"


@pytest.mark.parametrize("stopped_after", range(len(STEPS)), ids=STEP_NAMES)
def test_rotation_stopped_after_any_step_leaves_everything_open_and_goes_on(
    running: Site, monkeypatch: pytest.MonkeyPatch, stopped_after: int
) -> None:
    """For a daemon that runs, for one that restarts now, and for the next run of the command."""
    with monkeypatch.context() as patched:

        def stop(_run: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(rotation, "STEPS", (*STEPS[: stopped_after + 1], stop))
        with pytest.raises(KeyboardInterrupt):
            running.rotate()

    half_way = running.parts.key_ring.read().rotation
    assert running.opens(running.daemon(OLD))
    assert running.opens(running.restarted())
    late = running.daemon(OLD).seal("sealed in between")

    running.rotate()

    [new] = key_file.keys(running.file)
    assert half_way is not None
    if half_way.phase is not Phase.DONE:
        assert fingerprint(new) == half_way.new
    assert running.opens(running.daemon(OLD))
    assert running.opens(FernetVault(lambda: [new], running.ring.read))
    assert running.restarted().unseal(late) == "sealed in between"
    assert older(running.engine, running.restarted().look()) == 0


def test_daemon_that_cannot_open_with_the_new_key_is_named_and_nothing_is_sealed_with_it(running: Site) -> None:
    """Another host, with a key file of its own."""
    stranger = new_key()
    running.ring.report(
        KeyReport(daemon="poll@there", own=frozenset({fingerprint(stranger)}), opens=frozenset(), seen_at=now())
    )

    with pytest.raises(KeyNotSharedError) as caught:
        running.rotate(patience=0.2)

    assert caught.value.facts["daemons"] == "poll@there"
    found = running.ring.read().rotation
    assert found is not None
    assert found.phase is Phase.OFFERED
    assert fingerprint(OLD) == running.restarted().look().sealing
    assert FernetVault(lambda: [OLD]).unseal(running.daemon(OLD).seal("x")) == "x"


def test_worker_that_reports_no_keys_is_waited_for(site: Site) -> None:
    """An older version: it could not open with the new key."""
    pulse = site.parts.pulse
    assert isinstance(pulse, MemoryPulse)
    pulse.speak(
        WorkerPulse(instance="mail", node="mail@there", at=now(), started_at=now(), tasks=0, memory=0, consumed_at=None)
    )

    with pytest.raises(KeyNotSharedError, match="cannot open") as caught:
        site.rotate(patience=0.2)

    assert caught.value.facts["daemons"] == "mail@there"


def test_daemon_that_was_killed_is_not_waited_for_for_ever(site: Site) -> None:
    site.ring.report(KeyReport(daemon="mail@here", own=frozenset(), opens=frozenset(), seen_at=now() - 2 * LIVE))

    assert site.rotate(patience=0.2).restarting == ("mail@here",)


def test_report_from_a_clock_that_was_ahead_holds_up_nothing(site: Site) -> None:
    site.ring.report(
        KeyReport(daemon="mail@here", own=frozenset(), opens=frozenset(), seen_at=now() + timedelta(days=400))
    )

    site.rotate(patience=0.2)


def test_stolen_database_opens_with_no_key_that_it_holds(running: Site) -> None:
    running.rotate()

    with running.engine.connect() as connection:
        stored = b"".join(row.sealed for row in connection.execute(select(key_ring)))
        told = str(connection.execute(select(key_rotations)).all()) + str(connection.execute(select(key_reports)).all())
    [new] = key_file.keys(running.file)
    for key in (OLD, new):
        assert key.encode() not in stored
        assert key not in told
    assert not running.opens(running.daemon(new_key()))


def test_old_key_opens_nothing_once_every_daemon_has_the_new_one(running: Site) -> None:
    """A restart of the daemon, whenever it suits, ends that."""
    running.rotate()
    assert running.opens(running.daemon(OLD))

    running.watch("mail@here", running.restarted()).look()

    assert running.ring.read().linked(Link.NEXT) == []
    assert not running.opens(running.daemon(OLD))
    assert running.opens(running.restarted())


def test_without_daemons_the_old_key_opens_nothing_at_once(site: Site) -> None:
    site.rotate()

    assert not site.opens(site.daemon(OLD))
    assert site.opens(site.restarted())


def test_daemon_that_is_gone_for_good_keeps_no_key(site: Site) -> None:
    site.ring.report(
        KeyReport(daemon="mail@former", own=frozenset(), opens=frozenset(), seen_at=now() - KNOWN - timedelta(hours=1))
    )

    site.rotate(patience=0.2)

    assert not site.opens(site.daemon(OLD))


def test_what_was_written_back_under_the_old_key_is_sealed_again(site: Site) -> None:
    """A renewal of a token reads before the rotation and writes after it."""
    before = SqlAccounts(site.engine, now).get("sales")
    site.rotate()
    SqlAccounts(site.engine, now).save(before)
    assert site.opens(site.restarted())

    tidy(site.engine, site.ring, site.restarted().look(), lambda: now() + GRACE + timedelta(minutes=1))

    assert site.ring.read().keys == ()
    assert site.opens(site.restarted())


def test_two_rotations_without_a_restart_between_them(running: Site) -> None:
    running.rotate()
    first = key_file.keys(running.file)
    running.rotate()

    assert key_file.keys(running.file) != first
    assert running.opens(running.daemon(OLD))
    assert running.opens(running.restarted())


def test_two_runs_at_once_on_one_host_are_one_too_many(site: Site) -> None:
    with key_file.locked(site.file), pytest.raises(ConflictError, match="runs on this host"):
        site.rotate()


def test_the_files_mode_stays(site: Site) -> None:
    site.rotate()

    assert site.file.stat().st_mode & 0o777 == 0o640


def test_link_to_the_key_file_stays_a_link(site: Site) -> None:
    real = site.file.rename(site.file.with_name("elsewhere"))
    site.file.symlink_to(real)

    site.rotate()

    assert site.file.is_symlink()
    assert site.opens(site.restarted())


def test_status_names_what_still_needs_the_old_key(running: Site) -> None:
    running.rotate()

    found = rotation.status(running.parts)

    [new] = key_file.keys(running.file)
    assert (found.sealing, found.phase, found.older_secrets) == (fingerprint(new), Phase.DONE, 0)
    assert found.old_key_opens
    [daemon] = found.daemons
    assert (daemon.daemon, daemon.running, daemon.opens, daemon.restarted) == ("mail@here", True, True, False)


def test_rotation_binds_what_an_older_version_sealed(running: Site) -> None:
    """A3: until then it opens, or no mail would flow after an upgrade; from then on no copy of it does."""
    keys, daemon = KeySet.of([OLD]), running.daemon(OLD)
    copy = {"check": keys.seal("concord").decode(), "password": keys.seal("hunter2"), "secret": keys.seal("whsec")}

    def write_back() -> None:
        with transaction(running.engine) as connection:
            connection.execute(text("UPDATE meta SET value = :check WHERE key = 'vault_check'"), copy)
            connection.execute(text("UPDATE accounts SET secret = :password"), copy)
            connection.execute(text("UPDATE handlers SET secret = :secret"), copy)

    write_back()
    assert running.opens(daemon)
    assert rotation.status(running.parts).unbound_open

    done = running.rotate()

    assert (done.done.accounts, done.done.handlers, done.done.unopened) == (1, 1, ())
    assert running.opens(daemon)
    assert not rotation.status(running.parts).unbound_open
    with transaction(running.engine) as connection:
        connection.execute(text("UPDATE accounts SET secret = :password"), copy)
    assert not running.opens(daemon)
    assert not running.opens(running.restarted())
    write_back()
    assert not running.opens(running.restarted())


def test_lost_key_of_a_rotation_is_forgotten_with_what_it_sealed(running: Site) -> None:
    """Nothing could be sealed any more."""
    running.rotate()
    running.file.write_text(new_key() + "\n", encoding="ascii")
    vars(running.parts).pop("vault")

    secrets.forget(running.parts, agreed=lambda _names: None, by=OPERATOR)

    assert running.parts.sealing().unseal(running.parts.sealing().seal("again")) == "again"
    assert running.ring.read().rotation is None


def test_daemon_with_a_wrong_key_reports_it(site: Site) -> None:
    site.watch("mail@here", site.daemon(new_key())).look()

    [report] = site.ring.reports()
    assert (in_english(report.trouble) or "").startswith("The key does not open this database's secrets")


def test_daemon_without_its_key_file_reports_it(site: Site) -> None:
    vault = site.restarted()
    site.file.unlink()

    site.watch("mail@here", vault).look()

    [report] = site.ring.reports()
    assert report.own == frozenset()
    assert (in_english(report.trouble) or "").startswith("The file with the key cannot be read")


# Races.


def wrapped(key: str, *, by: str) -> WrappedKey:
    return KeySet.of([by]).wrap(key, link=Link.NEXT, by=fingerprint(by), now=now())


def test_two_hosts_that_begin_at_once_rotate_to_one_key(site: Site) -> None:
    begin, keys = threading.Barrier(2), [new_key(), new_key()]

    def offer(key: str) -> str:
        begin.wait()
        return site.ring.offer(wrapped(key, by=OLD)).new

    with ThreadPoolExecutor(2) as pool:
        agreed = set(pool.map(offer, keys))

    assert len(agreed) == 1
    assert {key.fingerprint for key in site.ring.read().keys} == agreed


def test_a_run_that_is_behind_takes_no_rotation_back(site: Site) -> None:
    offered = site.ring.offer(wrapped(new_key(), by=OLD))
    site.ring.advance(offered, Phase.SEALING)
    site.ring.advance(offered, Phase.DONE)

    site.ring.advance(offered, Phase.SEALING)

    found = site.ring.read().rotation
    assert found is not None
    assert found.phase is Phase.DONE


def test_the_end_of_one_rotation_removes_no_key_of_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon tidies while somebody begins again: the new key is in the ring only."""
    next_key = new_key()
    offered = site.ring.offer(wrapped(new_key(), by=OLD))
    for phase in (Phase.SEALING, Phase.DONE):
        site.ring.advance(offered, phase)
    real = SqlKeyRing.reports

    def begin_again(ring: SqlKeyRing) -> list[KeyReport]:
        site.ring.offer(wrapped(next_key, by=OLD))
        return real(ring)

    with monkeypatch.context() as patched:
        patched.setattr(SqlKeyRing, "reports", begin_again)
        tidy(site.engine, site.ring, site.restarted().look(), now)

    assert [key.fingerprint for key in site.ring.read().keys] == [fingerprint(next_key)]
