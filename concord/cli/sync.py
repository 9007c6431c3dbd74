"""`concord sync-email-tasks` and `concord poll`: what Beat and the workers do by themselves, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from concord.cli.border import problem, told_lines
from concord.cli.identity import caller
from concord.cli.options import AccountName, Json
from concord.cli.output import amount, emit, plain, say, warn
from concord.cli.session import here
from concord.services import accounts, schedule

if TYPE_CHECKING:
    from concord.pipeline.poll import PollReport
    from concord.services.schedule import Followed


def sync_email_tasks(json: Json = False) -> None:
    """Make the schedule equal to the enabled accounts. Beat does the same by itself every few minutes."""
    stats = schedule.sync(here(), by=caller())
    if json:
        emit(stats)
        return
    say(
        f"The schedule has {amount(stats.total, 'account')}: "
        f"{stats.added} added, {stats.removed} removed, {stats.updated} updated."
    )


def tell_trouble(followed: Followed | None) -> None:
    """After a change of accounts, where Redis is away."""
    if followed and followed.trouble:
        seconds = here().settings.upkeep.sync_interval
        warn(
            f"{followed.trouble}, so the schedule is not changed yet. It follows automatically within "
            f"{amount(seconds, 'second')} once Redis answers and Beat runs."
        )


def poll(name: AccountName, json: Json = False) -> None:
    """Poll one account now, in this process, whatever its schedule or back-off says."""
    report = accounts.poll(here(), name, by=caller())
    if json:
        emit(plain(report) | {"error": problem(report.error) if report.error else None})
    else:
        _tell(report)
    if report.outcome in ("failed", "busy"):
        raise typer.Exit(1)


def _tell(report: PollReport) -> None:
    taken = f"{amount(report.archived, 'new message')} archived"
    if report.skipped:
        taken += f", {report.skipped} skipped"
    if report.unreadable:
        taken += f", {report.unreadable} that the server did not hand over"
    sentences = {
        "done": f"{report.account}: {taken}.",
        "partial": f"{report.account}: {taken}; the time for one poll is used up, and the next one goes on.",
        "busy": f"{report.account} is being polled by another process just now. Try again in a minute.",
        "failed": f"{report.account}: {taken}, and then it failed.",
    }
    say(sentences.get(report.outcome.value, f"{report.account}: {report.outcome.value}."))
    if report.error:
        typer.echo("\n".join(told_lines(report.error)), err=True)
