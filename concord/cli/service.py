"""`concord service`: starting, stopping and watching the daemons (spec M5). As root, or as the user concord."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from concord.cli import service_view
from concord.cli.callers_supervisor import CallersSupervisor
from concord.cli.options import Json
from concord.cli.output import emit, facts, plain, say, shown
from concord.cli.progress import telling
from concord.cli.session import here, session
from concord.errors import SupervisorDownError, UsageError
from concord.model.daemon import Verb, program_name, unit_name

if TYPE_CHECKING:
    from concord.manager.control import Manager

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The daemons: start, stop, status, logs.")

_WATCH_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 5.0


def daemon_names(incomplete: str) -> list[str]:
    """For shell completion."""
    from concord.manager.units import selectors
    from concord.manager.worker_files import WorkerFiles
    from concord.settings import WorkerSettings, workers_directory

    instances = WorkerFiles(workers_directory(), WorkerSettings()).instances()
    return [name for name in selectors(instances) if name.startswith(incomplete)]


_Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="DAEMON",
        help="beat, worker (all of them), worker@NAME, flower or admin; else all but admin.",
        autocompletion=daemon_names,
    ),
]


@app.command()
def start(only: _Only = None, json: Json = False) -> None:
    """Start the daemons and wait until they work: a task comes back from every worker, and Beat ticks.

    Then the schedule is made equal to the accounts. What runs already goes on.
    """
    _toggle(Verb.START, only, json=json)


@app.command()
def stop(only: _Only = None, json: Json = False) -> None:
    """Stop the daemons: running tasks are finished first, and what is not done goes back to the queue."""
    _toggle(Verb.STOP, only, json=json)


@app.command()
def restart(only: _Only = None, json: Json = False) -> None:
    """Stop and start the daemons, and wait until they work. Stopped ones are started too."""
    _toggle(Verb.RESTART, only, json=json)


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every two seconds, until ^C.")] = False,
    json: Json = False,
) -> None:
    """Show what runs, since when, and what it does.

    Exit code 0: all of the set run and work. 3: all are stopped. 1: anything else. The admin service is not of the set.
    """
    if watch and not json:
        _watch()
    found = _manager().status()
    if json:
        emit(service_view.document(found))
    else:
        service_view.show(found)
    raise typer.Exit(service_view.exit_code(found))


@app.command()
def logs(
    only: _Only = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="So many of each.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what they write, until ^C.")] = False,
    json: Json = False,
) -> None:
    """Show the last lines that the daemons wrote."""
    if follow:
        _follow(only, lines)
    found = _manager().log_tail(only, lines)
    if json:
        emit(found)
        return
    for name, said in found.items():
        if len(found) > 1:
            typer.echo(typer.style(f"── {shown(name)}", bold=True))
        typer.echo("\n".join(shown(line) for line in said) if said else "(nothing)")


@app.command()
def flower(json: Json = False) -> None:
    """Show where the task monitor's page is, whether it answers, and where its password is."""
    settings = here().settings.flower
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    url = f"http://{host}:{settings.port}/"
    answers, says = _ask(url)
    place = _password_place()
    if json:
        emit({"url": url, "user": settings.user, "password_in": place, "answers": answers, "detail": says})
    else:
        facts({"Page": url, "User": settings.user, "Password in": place, "Answers": says})
    if not answers:
        raise typer.Exit(1)


def _manager() -> Manager:
    from concord.manager.control import Manager as Made

    session().keeps_root = True
    parts = here()
    ports = replace(parts.manager_ports, supervisor=lambda: CallersSupervisor(lambda: parts.supervisor))
    return Made(ports, parts.settings)


def _toggle(verb: Verb, only: str | None, *, json: bool) -> None:
    from concord.cli.identity import caller

    manager = _manager()
    toggle = {Verb.START: manager.start, Verb.STOP: manager.stop, Verb.RESTART: manager.restart}[verb]
    with telling() as told:
        moved = toggle(only, by=caller(), told=told)
    if json:
        emit(plain(moved))
    else:
        say(service_view.moved(moved))


def _watch() -> NoReturn:
    while True:
        found = _manager().status()
        # Home, and all below it away: as `clear` does.
        typer.echo("\x1b[H\x1b[2J", nl=False)
        service_view.show(found)
        time.sleep(_WATCH_SECONDS)


def _follow(only: str | None, lines: int) -> NoReturn:
    """Becomes the program that shows it."""
    from concord.cli.files import as_caller
    from concord.manager.units import chosen

    session().keeps_root = True
    names = chosen(only, here().workers.instances())
    with as_caller():
        supervisor = here().supervisor
        if supervisor.kind == "systemd":
            units = [f"--unit={unit_name(name)}" for name in names]
            command = ["journalctl", f"--lines={lines}", "--output=cat", "--follow", *units]
        else:
            command = ["tail", f"--lines={lines}", "-F", *_log_files(names)]
        try:
            os.execvp(command[0], command)  # noqa: S606 - names are of the allow-list, and no shell is involved
        except OSError as error:
            raise UsageError("logs_follow", command=command[0], cause=error.strerror) from None


def _log_files(names: list[str]) -> list[str]:
    """Where supervisord keeps what they write. Raises SupervisorDownError."""
    from concord.adapters.supervisord_rpc import RPC_ERRORS, SOCKET, supervisord

    path = here().settings.service.run_directory / SOCKET
    try:
        with supervisord(path) as server:
            programs = {one["name"]: one["stdout_logfile"] for one in server.getAllProcessInfo()}
    except RPC_ERRORS as error:
        raise SupervisorDownError("supervisord.socket", socket=path, cause=error) from None
    # Workers share a file.
    return list(dict.fromkeys(programs[program] for name in names if (program := program_name(name)) in programs))


def _ask(url: str) -> tuple[bool, str]:
    """Whether the page answers, and whether strangers are turned away."""
    import httpx

    try:
        answer = httpx.get(url, timeout=_ANSWER_SECONDS, follow_redirects=False, trust_env=False)
    except httpx.HTTPError as error:
        return False, f"no: {str(error) or type(error).__name__}. Start it: concord service start --only flower"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return True, "yes, and asks for the login"
    return False, f"{answer.status_code} without a login: something else than Concord's Flower may be listening there"


def _password_place() -> str:
    from concord.cli.settings_view import origin
    from concord.settings import credential_file

    name = "flower__password"
    found = origin("flower.password")
    if found == f"credential {name}":
        return str(credential_file(name))
    if found == "default":
        return f"nowhere: put one into the credential file '{name}', then restart Flower"
    return found
