"""`python -m tests.soak`: real daemons, real servers, thousands of mails, dozens of faults; zeros, or exit status 1."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from concord import log
from tests.soak.run import Plan, soak

REPORTS = Path(".run/soak")


def main() -> int:
    """Run the soaks that were asked for, one after the other; report each."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="once for each run (default: 1)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--mails", type=int, default=10_000)
    parser.add_argument("--mailboxes", type=int, default=50)
    parser.add_argument("--faults", type=int, default=72)
    wanted = parser.parse_args()
    log.configure("pretty", "warning")
    REPORTS.mkdir(parents=True, exist_ok=True)
    clean = True
    for seed in wanted.seed or [1]:
        plan = Plan(
            seed=seed,
            database=wanted.database,
            mails=wanted.mails,
            mailboxes=wanted.mailboxes,
            faults=wanted.faults,
        )
        clean &= _run(plan)
    return 0 if clean else 1


def _run(plan: Plan) -> bool:
    with tempfile.TemporaryDirectory(prefix="concord-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        report = soak(plan, folder)
        _say(*report.lines())
        place = REPORTS / f"{plan.database}-{plan.seed}"
        place.with_suffix(".json").write_text(report.as_json() + "\n", encoding="utf-8")
        if not report.verdict.is_clean:
            shutil.copytree(folder / "logs", place, dirs_exist_ok=True)
            _say(f"Not all zero: the daemons' logs are in {place}")
        return report.verdict.is_clean


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
