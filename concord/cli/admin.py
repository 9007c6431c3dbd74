"""`concord admin run`: the admin service in this process."""

from __future__ import annotations

import faulthandler

import typer

from concord.cli.session import here

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The admin service.")


@app.callback()
def admin_commands() -> None:
    """The admin service."""


@app.command("run")
def run_admin() -> None:
    """Serve the admin site on admin.address and admin.port, until a signal ends it.

    It also starts without a usable database, key or Redis: /healthz says which part fails, and the log why.
    """
    from concord import log
    from concord import settings as sources
    from concord.adapters.key_watch import daemon_name, watching
    from concord.cli import identity
    from concord.web.app import make_app
    from concord.web.jobs import jobs_in
    from concord.web.server import serve

    identity.become()
    sources.become("admin")
    settings = here().settings
    faulthandler.enable()
    log.configure(settings.log.style, settings.log.level, daemon="admin", directory=settings.log.directory)
    site, audit = make_app(here()), here().audit
    with watching(here().key_watch(daemon_name("admin"))):
        serve(site, settings.admin, at_end=lambda: jobs_in(site).abandon(audit))
