"""`concord watchdog`: what supervisord runs beside the daemons, since it has no watchdog of its own."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from concord.cli import identity
from concord.cli.session import here

if TYPE_CHECKING:
    from concord.adapters.supervisord_silence import Limits
    from concord.adapters.supervisord_watchdog import SupervisordWatchdog

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The watchdog of daemons under supervisord.")

_MICROSECONDS: Final = 1_000_000
_STUCK: Final = 60.0
# Installed by the package concord-supervisor.
_DAEMONS: Final = Path("/usr/share/concord/supervisor/daemons.conf")


@app.callback()
def watchdog_commands() -> None:
    """The watchdog of daemons under supervisord."""


@app.command("run")
def run(
    start_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1, help="A daemon that says nothing for so long after its start is killed."
        ),
    ] = 90.0,
) -> None:
    """Kill daemons that no longer say that they work, until a signal ends it; supervisord starts them anew.

    The silence that a daemon may keep is $WATCHDOG_USEC, in microseconds; a minute where that is not set.
    """
    from concord import log
    from concord.adapters.supervisord_watchdog import SupervisordWatchdog

    identity.become()
    parent = os.getppid()
    settings = here().settings
    log.configure(settings.log.style, settings.log.level, daemon="watchdog")
    signal.signal(signal.SIGTERM, _end)
    watchdog = SupervisordWatchdog(settings.service.run_directory, _limits(start_limit))
    # Without supervisord it would kill what nobody starts anew.
    while os.getppid() == parent:
        _listen(watchdog, parent)


@app.command()
def supervise(
    extra: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="More options for supervisord, after '--'.")
    ] = None,
) -> None:
    """Become supervisord with all of Concord's programs, as the user concord; root's rights are given up for good."""
    from concord.settings import ServiceSettings

    identity.drop_root()
    # Without the settings: supervisord is there before anything is right.
    os.environ["DAEMON_WORKERS"] = str(ServiceSettings().programs_file)
    command = [str(Path(sys.executable).parent / "supervisord"), "--nodaemon", "--configuration", str(_DAEMONS)]
    os.execv(command[0], [*command, *(extra or [])])  # noqa: S606 - no shell is involved


@app.command(hidden=True)
def programs() -> None:
    """Make supervisord's file of the workers that have a JSON file."""
    from concord.adapters.supervisord_programs import write_programs
    from concord.manager.worker_files import WorkerFiles
    from concord.settings import ServiceSettings, WorkerSettings, workers_directory

    # Not as root, which would follow a link that lies there in the file's place.
    identity.put_on()
    # Without the settings: an installation makes them before anything is right.
    write_programs(WorkerFiles(workers_directory(), WorkerSettings()).instances(), ServiceSettings().programs_file)


def _listen(watchdog: SupervisordWatchdog, parent: int) -> None:
    """Until supervisord is gone, or somebody took the socket away."""
    from concord.adapters.notify_listener import NotifyListener

    with NotifyListener(watchdog.path) as listener:
        while os.getppid() == parent and listener.is_reachable():
            # Nobody watches the watchdog but itself: stuck, it writes where and ends, and supervisord starts it anew.
            faulthandler.dump_traceback_later(_STUCK, exit=True)
            watchdog.turn(listener)
    faulthandler.cancel_dump_traceback_later()


def _limits(starting: float) -> Limits:
    from concord.adapters.supervisord_silence import Limits

    text = os.environ.get("WATCHDOG_USEC", "")
    if not text.isdecimal() or int(text) == 0:
        return Limits(starting=starting)
    return Limits(starting=starting, working=int(text) / _MICROSECONDS)


def _end(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
