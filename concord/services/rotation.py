"""Changing the key while everything runs, in two phases (A3).

First every daemon gets the new key and reports that it can open secrets with it; then it seals, and rows are sealed
again. The database says how far a rotation is: killed at any point, the next run goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from concord.adapters.key_watch import LOOK_EVERY, tidy
from concord.adapters.sql import sealed
from concord.adapters.vault import KeySet, fingerprint, new_key
from concord.auditing import audited
from concord.bootstrap import now
from concord.errors import KeyNotSharedError, QueueDownError
from concord.model.caller import Caller
from concord.model.key_ring import LIVE, KeyReport, KeyRing, KeyRotation, Link, Phase
from concord.services import key_file

if TYPE_CHECKING:
    from concord.bootstrap import Concord

# How long to wait for daemons; a killed one's last report lapses well before.
PATIENCE: Final = 120.0
_LOOK_EVERY: Final = 0.5
# A daemon that reads the key file itself has seen the change, and said so, within that.
_A_LOOK: Final = LOOK_EVERY + 2

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a rotation did. `restarting` names the daemons whose own file or credential still has the old key only."""

    done: sealed.Resealed
    file: Path
    fingerprint: str
    old_keys_kept: bool
    restarting: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonKeys:
    """Which keys a daemon can open secrets with."""

    daemon: str
    running: bool
    opens: bool  # with the key that seals now
    restarted: bool  # has that key in its own file or credential
    trouble: str | None
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """How far the newest rotation is, and what still needs the old key."""

    sealing: str  # fingerprints
    file: tuple[str, ...]
    phase: Phase | None
    new: str | None
    older_secrets: int  # sealed with another key than the newest
    old_key_opens: bool
    unbound_open: bool  # what an older version sealed for no place; until a rotation has sealed all of it again
    daemons: tuple[DaemonKeys, ...]


def rotate(
    parts: Concord,
    *,
    keep_old: bool = False,
    patience: float = PATIENCE,
    by: Caller,
    tell: Tell = lambda _sentence: None,
) -> Rotated:
    """Make a new key, hand it to every daemon, seal every secret with it, then drop the old one; or go on with that.

    Raises SecretKeyError, KeyNotSharedError, ConflictError, UsageError.
    """
    with audited(parts.audit, by, "secrets.rotate") as note:
        path = key_file.of_settings(parts.settings)
        parts.sealing()
        with key_file.locked(path):
            run = _Run(parts, path, keep_old=keep_old, patience=patience, tell=tell)
            for step in STEPS:
                step(run)
        note.detail = (
            f"{run.done.accounts} accounts, {run.done.handlers} handlers, {run.done.clients} OAuth2 clients, "
            f"{run.done.tokens} tokens, {len(run.done.unopened)} unopened"
        )
        return run.result()


class _Run:
    """One run of the command. Each step may have been made by a former run already."""

    def __init__(self, parts: Concord, path: Path, *, keep_old: bool, patience: float, tell: Tell) -> None:
        self._parts = parts
        self._path = path
        self._keep_old = keep_old
        self._patience = patience
        self._tell = tell
        self._rotation: KeyRotation
        self._keys: KeySet
        self.done: sealed.Resealed

    def offer(self) -> None:
        """Put a new key into the ring, unless a rotation is under way."""
        ring, keys = self._parts.key_ring, self._parts.vault.look()
        before = ring.read().rotation
        if before is None or before.phase is Phase.DONE:
            fresh, old, at = new_key(), keys.sealing, now()
            following = keys.wrap(fresh, link=Link.NEXT, by=old, now=at)
            both = KeySet.of([fresh, keys.line(old)])
            former = both.wrap(keys.line(old), link=Link.FORMER, by=fingerprint(fresh), now=at)
            self._rotation = ring.offer(following, former)
        else:
            self._tell(f"A rotation to the key {before.new} is under way; it goes on")
            self._rotation = before
        self._keys = self._parts.vault.look()
        self._keys.line(self._rotation.new)

    def share(self) -> None:
        """Put the new key into the file, behind those that are there."""
        lines = key_file.keys(self._path)
        new = self._keys.line(self._rotation.new)
        if new not in lines:
            key_file.replace(self._path, [*lines, new])

    def wait(self) -> None:
        """Until every daemon that runs has reported that it can open secrets with the new key."""
        if self._rotation.phase is not Phase.OFFERED:
            return
        self._tell(f"1 of 2: every daemon gets the new key {self._rotation.new}")
        deadline, told = time.monotonic() + self._patience, ""
        while pending := ", ".join(self._pending()):
            if time.monotonic() >= deadline:
                raise KeyNotSharedError(daemons=pending)
            if pending != told:
                self._tell(f"Waiting for {pending}")
                told = pending
            time.sleep(_LOOK_EVERY)

    def _pending(self) -> list[str]:
        at = now()
        live = {report.daemon: report for report in self._parts.key_ring.reports() if report.is_live(at)}
        lacking = [name for name, report in live.items() if self._rotation.new not in report.opens]
        return sorted([*lacking, *(_workers(self._parts, at) - live.keys())])

    def switch(self) -> None:
        """From here on the new key seals, in every process."""
        self._parts.key_ring.advance(self._rotation, Phase.SEALING)
        self._keys = self._parts.vault.look()

    def promote(self) -> None:
        """Put the new key first in the file."""
        lines = key_file.keys(self._path)
        new = self._keys.line(self._rotation.new)
        if lines[0] != new:
            key_file.replace(self._path, [new, *(line for line in lines if line != new)])

    def reseal(self) -> None:
        """Seal every row with the new key; twice, for what was being written meanwhile."""
        self._tell("2 of 2: every secret is sealed with the new key")
        sealed.reseal(self._parts.engine, self._keys)
        self.done = sealed.reseal(self._parts.engine, self._keys)

    @property
    def keeps_old(self) -> bool:
        """What no key opens may have been sealed by one that somebody puts back."""
        return self._keep_old or bool(self.done.unopened)

    def finish(self) -> None:
        """Take the old keys out of the file."""
        if not self.keeps_old:
            key_file.replace(self._path, [self._keys.line(self._rotation.new)])
        self._parts.key_ring.advance(self._rotation, Phase.DONE)

    def drop(self) -> None:
        """Take the new key out of the ring, where every daemon has it in its own file already."""
        deadline = time.monotonic() + _A_LOOK
        while self._lacking() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
        tidy(self._parts.engine, self._parts.key_ring, self._parts.vault.look(), now)

    def _lacking(self) -> tuple[str, ...]:
        reports = self._parts.key_ring.reports()
        return tuple(report.daemon for report in reports if self._rotation.new not in report.own)

    def result(self) -> Rotated:
        """What came of it."""
        return Rotated(
            done=self.done,
            file=self._path,
            fingerprint=self._rotation.new,
            old_keys_kept=self.keeps_old,
            restarting=self._lacking(),
        )


# In this order. Stopped after any of them, everything opens, and the next run goes on.
STEPS: Final[tuple[Callable[[_Run], None], ...]] = (
    _Run.offer,
    _Run.share,
    _Run.wait,
    _Run.switch,
    _Run.promote,
    _Run.reseal,
    _Run.finish,
    _Run.drop,
)


def status(parts: Concord) -> KeyStatus:
    """How far the newest rotation is. Raises SecretKeyError, DatabaseDownError."""
    parts.sealing()
    ring, keys, at = parts.key_ring.read(), parts.vault.look(), now()
    return KeyStatus(
        sealing=keys.sealing,
        file=tuple(sorted(keys.own)),
        phase=ring.rotation.phase if ring.rotation else None,
        new=ring.rotation.new if ring.rotation else None,
        older_secrets=sealed.older(parts.engine, keys),
        old_key_opens=_old_key_opens(ring),
        unbound_open=not keys.strict,
        daemons=tuple(_daemon(report, keys.sealing, ring, at) for report in parts.key_ring.reports()),
    )


def _old_key_opens(ring: KeyRing) -> bool:
    under_way = ring.rotation is not None and ring.rotation.phase is not Phase.DONE
    return under_way or bool(ring.linked(Link.NEXT))


def _daemon(report: KeyReport, sealing: str, ring: KeyRing, at: datetime) -> DaemonKeys:
    wanted = ring.rotation.new if ring.rotation else sealing
    return DaemonKeys(
        daemon=report.daemon,
        running=report.is_live(at),
        opens=report.trouble is None and wanted in report.opens,
        restarted=wanted in report.own,
        trouble=report.trouble,
        seen_at=report.seen_at,
    )


def _workers(parts: Concord, at: datetime) -> set[str]:
    """Workers that run, by what they say in Redis: an older version reports no keys."""
    try:
        return {pulse.node for pulse in parts.pulse.workers() if abs(at - pulse.at) <= LIVE}
    except QueueDownError:
        return set()
