"""How the daemons do, for people: a table that says at a glance what runs, and below it what is wrong."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from concord.cli.border import problem
from concord.cli.output import amount, plain, say, shown, verdict
from concord.manager.status import DaemonRow, Status, Verdict
from concord.model.daemon import ADMIN, BEAT, Activity, Verb
from concord.wording import english

if TYPE_CHECKING:
    from concord.manager.control import Moved

_EXIT_CODES: Final = {Verdict.WORKING: 0, Verdict.STOPPED: 3, Verdict.DEGRADED: 1, Verdict.UNKNOWN: 1}
_COLOURS: Final = {
    Activity.RUNNING: "green",
    Activity.STARTING: "yellow",
    Activity.STOPPING: "yellow",
    Activity.STOPPED: "dim",
    Activity.FAILED: "red",
    Activity.ABSENT: "dim",
}
# Narrow enough for a terminal of 80 columns.
_COLUMNS: Final = ("Unit", "State", "For", "PID", "Memory", "Tasks", "Waiting", "Ticked")
_RIGHT: Final = frozenset({"PID", "Memory", "Tasks", "Waiting"})
_PIPED: Final = 10_000
_MEGABYTE: Final = 1_000_000
_GIGABYTE: Final = 1_000_000_000


def exit_code(status: Status) -> int:
    """As `systemctl status` has it."""
    return _EXIT_CODES[status.verdict]


def document(status: Status) -> dict[str, Any]:
    """All of it, for programs."""
    tree: dict[str, Any] = plain(status)
    tree["troubles"] = [{"what": one.what, "error": problem(one.error)} for one in status.troubles]
    return tree


def show(status: Status) -> None:
    """The table, what is wrong, and a line that sums it up."""
    _table(status)
    print()
    for row in status.daemons:
        if row.activity is not Activity.STOPPED and (row.works is False or row.activity is Activity.FAILED):
            verdict(row.name, ok=False, detail=_ailment(row, status.at), remedy=_remedy(row))
    for trouble in status.troubles:
        error = trouble.error
        verdict(
            f"{trouble.what} not known",
            ok=False,
            detail=english.sentence(error),
            cause=", ".join(f"{name} {value}" for name, value in english.facts(error).items()),
            remedy=english.remedy(error),
        )
    say(summary(status))


def summary(status: Status) -> str:
    """One line."""
    of_set = [row for row in status.daemons if row.name != ADMIN]
    running = [row for row in of_set if row.activity is Activity.RUNNING]
    doubts = _doubts(running, blind=bool(status.troubles))
    sentence = {
        Verdict.WORKING: f"All {len(of_set)} daemons run and work.",
        Verdict.STOPPED: "All daemons are stopped. Start them: concord service start",
        Verdict.DEGRADED: f"{len(running)} of {amount(len(of_set), 'daemon')} run{doubts}.",
        Verdict.UNKNOWN: "Nobody can be asked whether the daemons run.",
    }[status.verdict]
    waiting = {row.unit: row.waiting for row in of_set if row.waiting is not None}
    if waiting and status.unacked is not None:
        sentence += f" {amount(_all_waiting(of_set), 'task')} wait, {status.unacked} in workers' hands."
    if status.elsewhere:
        sentence += f" On other hosts: {', '.join(shown(one.node) for one in status.elsewhere)}."
    return sentence


def moved(done: Moved) -> str:
    """What a toggle did."""
    names = list(done.daemons)
    who = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    many = len(names) > 1
    took = f"({done.seconds:.0f} s)"
    if done.verb is Verb.STOP:
        return f"{who} {'are' if many else 'is'} stopped {took}."
    state = ("run and work" if many else "runs and works") if done.sync else ("run" if many else "runs")
    sentence = f"{who} {state} {took}."
    if done.sync:
        stats = done.sync
        sentence += (
            f" The schedule has {amount(stats.total, 'account')}: "
            f"{stats.added} added, {stats.removed} removed, {stats.updated} updated."
        )
    return sentence


def size(octets: int | None) -> str:
    """`84 MB`, `1.2 GB`."""
    if octets is None:
        return "-"
    if octets < _GIGABYTE:
        return f"{octets / _MEGABYTE:.0f} MB"
    return f"{octets / _GIGABYTE:.1f} GB"


def ago(moment: datetime | None, now: datetime) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`, `3 days ago`."""
    return "-" if moment is None else f"{span(now - moment)} ago"


def span(time: timedelta) -> str:
    """So long, in one unit."""
    seconds = max(int(time.total_seconds()), 0)
    for unit, length, most in (("s", 1, 120), ("min", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{seconds // length} {unit}"
    return f"{seconds // 86_400} days"


def _doubts(running: list[DaemonRow], *, blind: bool) -> str:
    """What that they run does not say."""
    idle = sum(row.works is False for row in running)
    unproved = blind and any(row.works is None for row in running)
    if idle:
        return f", and {idle} of them {'does' if idle == 1 else 'do'} not work"
    return ", and whether all of them work is not known" if unproved else ""


def _all_waiting(rows: list[DaemonRow]) -> int:
    """Each queue once, however many workers read it."""
    by_queue = {row.queue: row.waiting for row in rows if row.queue and row.waiting is not None}
    return sum(by_queue.values())


def _table(status: Status) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _PIPED, highlight=False)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in _COLUMNS:
        right = column in _RIGHT
        grid.add_column(
            column, justify="right" if right else "left", no_wrap=column in ("Unit", "State"), overflow="fold"
        )
    for row in status.daemons:
        state, colour = _state(row)
        quiet = "dim" if row.activity in (Activity.STOPPED, Activity.ABSENT) else ""
        grid.add_row(
            Text(row.unit.removesuffix(".service"), quiet),
            Text(f"● {state}", colour),
            Text("-" if row.since is None else span(status.at - row.since), quiet),
            Text(shown(row.pid), quiet),
            Text(size(row.memory), quiet),
            Text(_count(row.tasks), quiet),
            Text(_count(row.waiting), quiet),
            Text(ago(row.last_tick, status.at), quiet),
        )
    console.print(grid)


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _state(row: DaemonRow) -> tuple[str, str]:
    if row.activity is None:
        return "unknown", "yellow"
    if row.activity is Activity.RUNNING and row.works is False:
        return "silent" if row.name == BEAT else "deaf", "red"
    return row.activity.value, _COLOURS[row.activity]


def _ailment(row: DaemonRow, now: datetime) -> str:
    if row.activity is Activity.RUNNING:
        if row.last_tick:
            return f"runs, and last ticked {ago(row.last_tick, now)}"
        return "runs, and gives no sign of working"
    state = row.activity.value if row.activity else "unknown"
    return f"{state}: {row.detail}" if row.detail else state


def _remedy(row: DaemonRow) -> str:
    if row.activity in (Activity.STARTING, Activity.STOPPING):
        return "Wait a moment, then look again"
    if row.activity is Activity.ABSENT:
        return "Install it, or take the worker away: concord worker list"
    return f"See 'concord service logs --only {row.name}', then 'concord service restart --only {row.name}'"
