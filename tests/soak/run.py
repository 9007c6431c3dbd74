"""One soak: mail is delivered while things break; then everything is whole, drains, and is judged."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.factories import mail
from tests.soak.cluster import Cluster, Kind
from tests.soak.faults import Breaker
from tests.soak.verdict import Verdict, judge, standing, wait_until_drained

# A mail with more than this travels in chunks and alone.
BIG: Final = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How big a soak is. The same seed breaks the same things in the same order."""

    seed: int
    database: Kind
    mails: int
    mailboxes: int
    faults: int
    pause: float = 6.0  # at most so many seconds between two faults
    drain: float = 900.0  # how long everything may take to end after the last fault


@dataclass(frozen=True, slots=True)
class Report:
    """What was done and what came of it."""

    plan: Plan
    faults: dict[str, int]
    could_not: list[str]
    seconds: float
    verdict: Verdict
    standing: dict[str, int]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def lines(self) -> list[str]:
        """For people."""
        plan = self.plan
        head = f"Soak, seed {plan.seed}, {plan.database}: {plan.mails:,} mails, {plan.mailboxes} mailboxes"
        rows = [f"  {name:<14}{value:>10}" for name, value in self.verdict.as_dict().items()]
        broken = [f"  {count:>3} × {name}" for name, count in sorted(self.faults.items())]
        left = [f"  not possible here: {what}" for what in self.could_not]
        return [f"{head}, {sum(self.faults.values())} faults, {self.seconds:.0f} s", *rows, *broken, *left]


def soak(plan: Plan, folder: Path) -> Report:
    """Run it in an empty folder, which keeps the daemons' logs."""
    began = time.monotonic()
    with Cluster(folder, database=plan.database, mailboxes=plan.mailboxes, seed=plan.seed) as cluster:
        breaker = Breaker(cluster, seed=plan.seed, count=plan.faults, pause=plan.pause)
        breaker.start()
        subjects = _deliver(cluster, plan, breaker)
        breaker.wait()
        drained = wait_until_drained(cluster, len(subjects), within=plan.drain)
        verdict = judge(cluster, subjects, drained)
        return Report(
            plan=plan,
            faults=dict(Counter(breaker.done)),
            could_not=breaker.failures,
            seconds=round(time.monotonic() - began, 1),
            verdict=verdict,
            standing=standing(cluster),
        )


def _deliver(cluster: Cluster, plan: Plan, breaker: Breaker) -> list[str]:
    """Spread the mails over the time that things break; their subjects, each another."""
    chance = random.Random(plan.seed)  # noqa: S311 - repeatable, not secret
    subjects = [f"soak {plan.seed} {number}" for number in range(plan.mails)]
    # Faults take about this long; what is left is delivered when they are over.
    pace = plan.faults * (plan.pause + 6) / plan.mails
    for number, subject in enumerate(subjects):
        user = chance.choice(cluster.mailboxes).user
        _drop(cluster, user, number, _mail(subject, chance))
        if not breaker.is_over:
            time.sleep(pace * chance.uniform(0, 2))
    return subjects


def _mail(subject: str, chance: random.Random) -> bytes:
    headers: dict[str, Any] = {"Importance": "high"} if chance.random() < 0.05 else {}
    size = chance.choices((0, 20_000, BIG), (85, 14, 1))[0]
    return mail(subject, attachment=chance.randbytes(size) if size else None, **headers)


def _drop(cluster: Cluster, user: str, number: int, raw: bytes) -> None:
    """Into the maildir, as a delivery agent does: whole or not at all, whether the server runs or not."""
    name = f"{int(time.time())}.M{number}P{os.getpid()}.soak"
    draft = cluster.inbox(user, "tmp") / name
    draft.write_bytes(raw)
    if os.geteuid() == 0:
        shutil.chown(draft, "mail", "mail")
    draft.rename(cluster.inbox(user, "new") / name)
