"""What only root may do for a worker: polkit's rule and the target's wishes follow from the workers' files.

The input is the names of files in one directory, which the user concord may write; nothing in them is read. Out of a
name comes a line of the rule and a link to Concord's own template, or nothing at all.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from concord.errors import UsageError
from concord.manager.units import polkit_rule
from concord.model.daemon import INSTANCE, unit_name, worker
from concord.model.worker import BUILT_IN, MOST

_BEFORE, _AFTER = unit_name(worker("\n")).split("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where systemd and polkit look."""

    rule: Path = Path("/etc/polkit-1/rules.d/50-concord.rules")
    in_place: bool = False  # the rule's folder may be closed to us, where the file itself is not
    wants: Path = Path("/etc/systemd/system/concord-celery.target.wants")
    template: Path = Path("/lib/systemd/system/concord-worker@.service")


INSTALLED: Final = Places()


def settle(instances: Callable[[], Sequence[str]], *, reload: Callable[[], None], places: Places = INSTALLED) -> bool:
    """Make both follow; whether anything changed. Twice is once. Raises UsageError, SupervisorDownError.

    `instances` is asked again after the work, until the answer is the same: a file may come meanwhile. `reload` has
    systemd read its units anew.
    """
    changed = False
    with _alone(places.wants):
        done: Sequence[str] | None = None
        while (wanted := instances()) != done:
            if len(wanted) > MOST:
                raise UsageError("too_many_workers.remove", workers=len(wanted), most=MOST)
            done = wanted
            changed |= write_rule(wanted, places)
            changed |= _link(wanted, places)
    if changed:
        reload()
    return changed


def write_rule(instances: Sequence[str], places: Places = INSTALLED) -> bool:
    """Polkit's rule for exactly these workers' units; whether it is another than before. Raises UsageError."""
    text, place = polkit_rule(instances), places.rule
    fresh = place if places.in_place else place.with_suffix(".new")
    try:
        if place.is_file() and place.read_text(encoding="utf-8") == text:
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        if fresh != place:
            fresh.chmod(0o644)
            fresh.replace(place)
    except OSError as error:
        raise UsageError("polkit_rule", file=place, cause=error.strerror) from None
    return True


def _link(instances: Sequence[str], places: Places) -> bool:
    """The target wants these, so that they start and stop with the others, and no other worker but poll and mail."""
    wanted = {unit_name(worker(one)) for one in instances if one not in BUILT_IN}
    present = {link.name for link in places.wants.iterdir() if _is_further(link.name)}
    link = places.wants
    try:
        for name in sorted(present - wanted):
            link = places.wants / name
            link.unlink()
        for name in sorted(wanted - present):
            link = places.wants / name
            link.symlink_to(places.template)
    except OSError as error:
        raise UsageError("unit_link", file=link, cause=error.strerror) from None
    return present != wanted


def _is_further(name: str) -> bool:
    """Whether it is a worker's unit, and none that the target has by itself."""
    instance = name.removeprefix(_BEFORE).removesuffix(_AFTER)
    return unit_name(worker(instance)) == name and bool(INSTANCE.fullmatch(instance)) and instance not in BUILT_IN


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time: who looked earlier must not write later."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError("unit_link", file=folder, cause=error.strerror) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
