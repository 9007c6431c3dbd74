"""A daemon's thread that reports which keys it can open secrets with, so that a rotation knows when to go on (A3)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Engine

from concord.adapters.sql import sealed
from concord.adapters.sql.clean import LINE
from concord.adapters.sql.key_ring import SqlKeyRing
from concord.adapters.vault import FernetVault, KeySet
from concord.errors import ConcordError, SecretKeyError
from concord.model.fault import dump
from concord.model.key_ring import GRACE, KNOWN, KeyReport, Link, Phase
from concord.ports import Clock

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = 3.0
# A report that did not change is written again so often; `key_ring.LIVE` is three of these.
REPORT_EVERY: Final = timedelta(seconds=15)


class KeyWatch:
    """Looks every few seconds, until it is ended."""

    def __init__(
        self, daemon: str, vault: Callable[[], FernetVault], ring: SqlKeyRing, engine: Engine, clock: Clock
    ) -> None:
        self._daemon = daemon
        self._vault = vault
        self._ring = ring
        self._engine = engine
        self._clock = clock
        self._last: KeyReport | None = None
        self._trouble = ""
        self._over = threading.Event()

    def begin(self) -> None:
        """Look from now on, in a thread of its own."""
        threading.Thread(target=self._run, name="keys", daemon=True).start()

    def end(self) -> None:
        """Stop looking."""
        self._over.set()

    def look(self) -> None:
        """Report once, where there is something to report; then remove what no daemon needs any more."""
        report = self._report()
        if self._is_news(report):
            self._ring.report(report)
            self._last = report
        if report.trouble is None:
            tidy(self._engine, self._ring, self._vault().look(), self._clock)

    def _run(self) -> None:
        while True:
            try:
                self.look()
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever the database does
                self._tell(error)
            if self._over.wait(LOOK_EVERY):
                return

    def _tell(self, error: Exception) -> None:
        """Once for each trouble."""
        if str(error) != self._trouble:
            log.warning("keys.unreported", error=error, exc_info=None if isinstance(error, ConcordError) else error)
        self._trouble = str(error)

    def _report(self) -> KeyReport:
        try:
            keys = self._vault().look()
        except SecretKeyError as error:
            return self._made(frozenset(), frozenset(), error)
        try:
            sealed.verify_key(self._engine, keys)
        except SecretKeyError as error:
            return self._made(keys.own, keys.fingerprints, error)
        return self._made(keys.own, keys.fingerprints)

    def _made(self, own: frozenset[str], opens: frozenset[str], trouble: SecretKeyError | None = None) -> KeyReport:
        told = dump(trouble, LINE) if trouble else None
        return KeyReport(daemon=self._daemon, own=own, opens=opens, trouble=told, seen_at=self._clock())

    def _is_news(self, report: KeyReport) -> bool:
        before = self._last
        if before is None or (before.own, before.opens, before.trouble) != (report.own, report.opens, report.trouble):
            return True
        return abs(report.seen_at - before.seen_at) >= REPORT_EVERY


def tidy(engine: Engine, ring: SqlKeyRing, keys: KeySet, clock: Clock) -> None:
    """After a rotation: remove from the ring what nobody needs any more."""
    now, here = clock(), ring.read()
    if here.rotation is None or here.rotation.phase is not Phase.DONE:
        return
    if following := here.linked(Link.NEXT):
        known = [report for report in ring.reports() if now - report.seen_at < KNOWN]
        if all(here.rotation.new in report.own for report in known):
            # From here on the old key opens nothing.
            ring.drop(following)
            log.info("keys.old_key_dropped", fingerprint=here.rotation.old)
    if former := [key for key in here.linked(Link.FORMER) if key.created_at < now - GRACE]:
        # What somebody read before the rotation and wrote back after it.
        sealed.reseal(engine, keys)
        ring.drop(former)


@contextmanager
def watching(watch: KeyWatch) -> Iterator[None]:
    """Report as long as this lasts."""
    watch.begin()
    try:
        yield
    finally:
        watch.end()


def daemon_name(name: str) -> str:
    """Of a daemon on this host, as Celery names its workers."""
    return f"{name}@{socket.gethostname()}"
