"""`concord worker run`, `beat run` and `flower run`: Celery's daemons in this process, as the settings say.

No secret is in their arguments, and each has its own secrets only. Without a usable database, schema and key (where
they need these) they say why and do not start (A3).
"""

from __future__ import annotations

import faulthandler
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from concord.cli.session import here

beat = typer.Typer(no_args_is_help=True, add_completion=False, help="The scheduler.")
flower = typer.Typer(no_args_is_help=True, add_completion=False, help="The task monitor.")

_STDERR: Final = 2
_Extra = Annotated[
    list[str] | None, typer.Argument(metavar="[-- CELERY-OPTIONS]", help="More options for Celery, after '--'.")
]


@beat.callback()
def beat_commands() -> None:
    """The scheduler."""


@flower.callback()
def flower_commands() -> None:
    """The task monitor."""


def run_worker(
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="poll, mail, or a worker of your own.")],
    extra: _Extra = None,
) -> None:
    """Poll mailboxes and deliver events (poll), or process mail (mail), until a signal ends it."""
    from concord.adapters.celery_arguments import worker_arguments

    _become_daemon("worker")
    config = here().workers.config(instance)
    _refuse_old_schema()
    _refuse_wrong_key()
    _become([*worker_arguments(here().settings, config), *(extra or [])])


@beat.command("run")
def run_beat(extra: _Extra = None) -> None:
    """Fire what the schedule says, until a signal ends it."""
    from concord.adapters.celery_arguments import beat_arguments

    _become_daemon("beat")
    _refuse_old_schema()
    _become([*beat_arguments(here().settings), *(extra or [])])


@flower.command("run")
def run_flower(extra: _Extra = None) -> None:
    """Serve the task monitor's page, until a signal ends it."""
    from concord.adapters.celery_arguments import flower_arguments
    from concord.adapters.flower import serving

    _become_daemon("flower")
    with serving(here().settings):
        _become([*flower_arguments(here().settings), *(extra or [])])


def _refuse_old_schema() -> None:
    """Raises what 'concord db check' would."""
    from concord.adapters.sql import schema

    schema.check(here().engine)


def _refuse_wrong_key() -> None:
    """Raises what 'concord secrets check' would."""
    from concord.adapters.sql.sealed import verify_key

    verify_key(here().engine, here().vault)


def _become_daemon(name: str) -> None:
    """From here on this process is a daemon: it logs as one, and a watchdog's SIGABRT leaves its threads' stacks."""
    from concord import log
    from concord import settings as sources
    from concord.cli import identity

    identity.become()
    sources.become(name)
    settings = here().settings
    # Wherever Python's own standard error leads by then: the process's is what the journal reads.
    faulthandler.enable(_STDERR)
    log.configure(settings.log.style, settings.log.level, daemon=name, directory=settings.log.directory)


def _become(arguments: Sequence[str]) -> None:
    """Celery's own command, with our app: tasks are registered by being imported."""
    from concord.adapters.threads import leave
    from concord.tasks import email, upkeep

    del email, upkeep
    code = here().celery.start(argv=list(arguments))
    leave(code or 0, here().give_back_claims)
    raise typer.Exit(code or 0)
