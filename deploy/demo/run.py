"""`make run`: the daemons and private servers of a checkout, until ^C."""

from __future__ import annotations

import os
import sys
import time

from deploy.demo.daemons import Daemons, running
from deploy.demo.prepare import admin_password
from deploy.demo.state import CannotRunError, State


def main() -> int:
    """Exit status 0 after ^C, 1 where something keeps the set from running."""
    try:
        state = State.read(os.environ)
        with running(state) as daemons:
            daemons.wait_until_up()
            print(places(state), "^C stops everything.", sep="\n\n", flush=True)
            watch(daemons)
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
    return 0


def watch(daemons: Daemons) -> None:
    """Look on until ^C. Raises CannotRunError if supervisord ends by itself."""
    while True:
        daemons.check_alive()
        time.sleep(0.5)


def places(state: State) -> str:
    """Where to look, told to a person at the terminal."""
    ports, credentials = state.ports, state.credentials
    login = f"concord / {(credentials / 'flower__password').read_text(encoding='utf-8')}"
    return "\n".join(
        [
            f"Admin    http://localhost:{ports.admin}/admin   sign in: admin / {admin_password(state)}",
            f"Flower   http://127.0.0.1:{ports.flower}   login: {login}",
            f"IMAP     127.0.0.1:{ports.imaps} (TLS), {ports.imap} (STARTTLS)   password: {state.folder}/mail-password",
            f"Redis    127.0.0.1:{ports.redis}   address with password: {credentials}/redis__url",
            f"Logs     {state.logs}/celery-beat.log  celery-worker.log  celery-flower.log",
            "",
            "In another terminal:",
            f"  export CONCORD_CONFIG={state.config} CONCORD_CREDENTIALS={credentials}",
            "  .venv/bin/concord message list         .venv/bin/concord --help",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
