"""`concord config`: the settings in force, and whether they work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import typer

from concord.cli.options import Json
from concord.cli.output import emit, verdict
from concord.cli.session import here
from concord.cli.settings_view import as_toml, effective
from concord.errors import ConcordError
from concord.wording import english

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The settings.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of a configuration."""

    name: str
    ok: bool
    detail: str
    cause: str = ""
    remedy: str = ""


@app.command()
def show(json: Json = False) -> None:
    """Show every setting and where it comes from. Secrets are hidden."""
    from concord.settings import load

    settings = effective(load())
    if json:
        emit(settings)
    else:
        print(as_toml(settings))


@app.command()
def check(json: Json = False) -> None:
    """Look at the settings, the key, the database, Redis, the archive and the spool; say all that is wrong."""
    findings = _findings()
    if json:
        emit(findings)
    else:
        for one in findings:
            verdict(one.name, ok=one.ok, detail=one.detail, cause=one.cause, remedy=one.remedy)
    if not all(one.ok for one in findings):
        raise typer.Exit(1)


def _findings() -> list[Finding]:
    first = _try("settings", _settings)
    if not first.ok:
        return [first]
    return [first, *(_try(name, work) for name, work in _CHECKS.items())]


def _try(name: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, ok=True, detail=work())
    except ConcordError as error:
        said = english.facts(error)
        facts = ", ".join(value if key == "cause" else f"{key} {value}" for key, value in said.items())
        return Finding(name=name, ok=False, detail=english.sentence(error), cause=facts, remedy=english.remedy(error))


def _settings() -> str:
    from concord.settings import config_path

    here()
    path = config_path()
    return f"read from {path}" if path.is_file() else f"all at their defaults: there is no {path}"


def _time_limits() -> str:
    from concord.settings import slowest_calls

    return "; ".join(str(call) for call in slowest_calls(here().settings))


def _secrets() -> str:
    """Every daemon reads the settings file; as a credential, a secret reaches the daemons that need it."""
    from concord.cli.settings_view import secrets_in_file
    from concord.settings import config_path

    found = secrets_in_file(here().settings)
    if not found:
        return "each where only the daemons that need it read it"
    return (
        f"{config_path()} holds {', '.join(found)}, and every daemon reads that file. Move each to a file of its own "
        f"in /etc/concord/credentials ({', '.join(name.replace('.', '__') for name in found)}; mode 0600)"
    )


def _key() -> str:
    _ = here().vault
    return "there is one, and it is well-formed"


def _database() -> str:
    from concord.adapters.sql import schema
    from concord.adapters.sql.engine import place

    schema.check(here().engine)
    return f"{place(here().engine)} answers, at version {schema.newest()}"


def _key_fits() -> str:
    from concord.adapters.sql.sealed import verify_key

    verify_key(here().engine, here().vault)
    return "the key is this database's"


def _redis() -> str:
    waiting = here().queue.depth()
    return f"answers; {sum(waiting.values())} tasks wait"


def _archive() -> str:
    here().archive.check()
    return f"{here().settings.archive.kind} archive: written to, read back and cleaned up"


def _spool() -> str:
    from concord.adapters.imap.spool import Spool

    poll = here().settings.poll
    with Spool(poll.spool_directory, most=poll.spool_max_bytes).part("config check"):
        return f"{poll.spool_directory} takes what polls fetch"


_CHECKS: Final[dict[str, Callable[[], str]]] = {
    "time limits": _time_limits,
    "secrets": _secrets,
    "key": _key,
    "database": _database,
    "key and database": _key_fits,
    "redis": _redis,
    "archive": _archive,
    "spool": _spool,
}
