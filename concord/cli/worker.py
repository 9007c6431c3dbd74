"""`concord worker`: which workers there are, with what settings, and the polkit rule that follows from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from concord.cli.daemon import run_worker
from concord.cli.files import as_caller
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, facts, say, table, warn
from concord.cli.session import here, session
from concord.cli.sync import tell_trouble
from concord.errors import UsageError
from concord.model.worker import BUILT_IN, WorkerType
from concord.services import units, workers
from concord.services.units import INSTALLED, write_rule

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The workers.")
app.command("run")(run_worker)

PLACES: Final = INSTALLED

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The worker: poll, mail, deliver, or one of your own.")]
_Type = Annotated[
    WorkerType | None,
    typer.Option("--type", help="poll: mailboxes; mail: processing; deliver: handlers."),
]
_Concurrency = Annotated[int | None, typer.Option("--concurrency", help="Processes (mail) or threads.")]
_Prefetch = Annotated[int | None, typer.Option("--prefetch", help="Tasks reserved ahead for each of them.")]
_Tasks = Annotated[int | None, typer.Option("--max-tasks-per-child", help="It is replaced after so many tasks.")]
_Memory = Annotated[int | None, typer.Option("--max-memory-per-child", help="It is replaced above so many KiB.")]
_Interval = Annotated[int | None, typer.Option("--poll-interval", help="Seconds between two polls of a mailbox.")]


@app.command("list")
def list_workers(json: Json = False) -> None:
    """List the workers and what they run with."""
    configs = here().workers.configs()
    for file in here().workers.misnamed():
        warn(f"{file} is no worker's: a name begins with a small letter and has small letters, digits, underscores.")
    if json:
        emit(configs)
        return
    columns = ["Worker", "Type", "Concurrency", "Prefetch", "Tasks per child", "KiB per child", "Poll interval"]
    table(
        columns,
        [
            (
                one.instance,
                one.type.value,
                one.concurrency,
                one.prefetch,
                one.max_tasks_per_child,
                one.max_memory_per_child,
                one.poll_interval,
            )
            for one in configs
        ],
    )


@app.command()
def show(name: _Name, json: Json = False) -> None:
    """Show what one worker runs with, and what its file says of that."""
    config, document = here().workers.config(name), here().workers.document(name)
    given = document.model_dump(mode="json", exclude_none=True)
    path = here().workers.path(name)
    if json:
        emit({"config": config, "file": str(path), "document": given})
        return
    facts(
        {
            "Worker": config.instance,
            "File": str(path) if path.is_file() else f"none ({path})",
            "Type": config.type.value,
            "Concurrency": config.concurrency,
            "Prefetch": config.prefetch,
            "Tasks per child": config.max_tasks_per_child,
            "KiB per child": config.max_memory_per_child,
            "Poll interval": config.poll_interval or "as poll.interval",
            "From its file": ", ".join(sorted(given)) or "nothing",
        }
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of a worker's file."""
    from concord.manager.config import json_schema

    emit(json_schema())


@app.command()
def add(
    name: _Name,
    type: _Type = None,
    concurrency: _Concurrency = None,
    prefetch: _Prefetch = None,
    max_tasks_per_child: _Tasks = None,
    max_memory_per_child: _Memory = None,
    poll_interval: _Interval = None,
) -> None:
    """Write a new worker's file, and let the service manager know it. As root, or as the user concord."""
    said = {
        "type": type,
        "concurrency": concurrency,
        "prefetch": prefetch,
        "max_tasks_per_child": max_tasks_per_child,
        "max_memory_per_child": max_memory_per_child,
        "poll_interval": poll_interval,
    }
    given = {key: value for key, value in said.items() if value is not None}
    session().keeps_root = True
    say(f"{workers.add(here(), name, given, by=caller(), adopt=_adopt).path} is written.")
    verb = "restart" if name in BUILT_IN else "start"
    say(f"Next: concord service {verb} --only worker@{name}")


@app.command("set")
def set_values(
    name: _Name,
    values: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="An empty value takes the key out.")],
) -> None:
    """Change a worker's file. A poll interval holds at once, all else at the worker's next start."""
    tree = here().workers.document(name).model_dump(mode="json", exclude_none=True)
    for pair in values:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UsageError("pair", value=pair)
        tree[key] = _number(value)
    tree = {key: value for key, value in tree.items() if value != ""}
    changed = workers.change(here(), name, tree, by=caller())
    say(f"{changed.path} is written.")
    if changed.schedule:
        tell_trouble(changed.schedule)
    if changed.restart:
        say(f"It holds after: concord service restart --only worker@{name}")


@app.command()
def remove(name: _Name) -> None:
    """Take a worker away (stop it first); for poll and mail, go back to concord.toml."""
    session().keeps_root = True
    say(f"{workers.remove(here(), name, by=caller(), adopt=_adopt).path} is gone.")


@app.command(hidden=True)
def polkit(
    write: Annotated[bool, typer.Option("--write", help=f"Into {INSTALLED.rule}; else print it.")] = False,
) -> None:
    """The rule that lets the user concord move exactly these units (polkit(8))."""
    from concord.manager.units import polkit_rule

    if write:
        write_rule(_instances(), PLACES)
    else:
        print(polkit_rule(_instances()), end="")


@app.command(hidden=True)
def settle(
    rule: Annotated[Path | None, typer.Option(help="Polkit's rule by another name; it is written in place.")] = None,
) -> None:
    """Make polkit's rule and the target's units follow the workers' files. concord-workers.service runs it, as root."""
    from concord.adapters.systemd import reload

    places = replace(PLACES, rule=rule, in_place=True) if rule else PLACES
    units.settle(_instances, reload=reload, places=places)


def _instances() -> list[str]:
    """Without the settings: an installation asks before anything is right."""
    from concord.manager.worker_files import WorkerFiles
    from concord.settings import WorkerSettings, workers_directory

    return WorkerFiles(workers_directory(), WorkerSettings()).instances()


def _adopt(instances: Sequence[str]) -> None:
    """All of it here, where we are root: so it is right, too, where nothing is booted."""
    from concord.adapters.supervisord_programs import take_up, write_programs
    from concord.adapters.supervisord_rpc import SOCKET
    from concord.adapters.systemd import reload

    service = here().settings.service
    if service.programs_file.exists():
        changed, socket = write_programs(instances, service.programs_file), service.run_directory / SOCKET
        if changed and socket.exists():
            take_up(socket)
    if not PLACES.template.exists():
        return
    try:
        with as_caller():
            units.settle(here().workers.instances, reload=reload, places=PLACES)
    except UsageError:
        if os.getuid() == 0:
            raise
        here().supervisor.adopt(instances)


def _number(value: str) -> Any:
    return int(value) if value.isdecimal() else value
