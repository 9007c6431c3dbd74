"""`make demo`: the whole of Concord on private servers, a dozen mails delivered, each watched until it is an event.

With DEMO_EXIT=1 it ends after that, with status 0 only if every mail became an event; otherwise it stays until ^C.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import Final

from concord import settings
from concord.bootstrap import Concord
from concord.errors import ConcordError
from concord.wording import english
from deploy.demo import table
from deploy.demo.daemons import Daemons, concord, running, tail_of_logs
from deploy.demo.deliver import deliver, make_folders
from deploy.demo.mails import ALICE, BOB, DemoMail, mails
from deploy.demo.run import places, watch
from deploy.demo.state import ROOT, CannotRunError, State
from deploy.demo.watch import Arrival, Watch

WANTED: Final = ROOT / "deploy/demo/demo.toml.in"
ARRIVE_SECONDS: Final = 120.0
PROGRAMS: Final = ["concord-beat", "concord-worker-poll", "concord-flower"]


def main() -> int:
    """Exit status 0 if every mail became an event (or ^C ended the stay), 1 if not."""
    try:
        state = State.read(os.environ)
        with running(state) as daemons:
            return _demonstrate(daemons)
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return 1
    except ConcordError as error:
        print(english.explain(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
        return 130 if _ends_by_itself() else 0


def _demonstrate(daemons: Daemons) -> int:
    state = daemons.state
    _say(
        f"Starting beat, two workers, Flower, the admin service, Redis and Dovecot under supervisord ({state.folder}) …"
    )
    started = datetime.now(UTC)
    daemons.wait_until_up()
    os.environ.update(state.environment())
    dozen = mails(started.strftime("%Y%m%dT%H%M%S%f"))
    make_folders(state, dozen)
    _add_accounts(state)
    concord(state, "sync-email-tasks")
    looked = Concord(settings.load())
    _wait_for_polls(daemons, looked, since=started)
    arrivals, missed = _deliver_and_watch(daemons, looked, dozen)
    _say(_summary(arrivals, missed))
    good = not missed and all(arrival.is_whole for arrival in arrivals)
    if not good:
        _say(tail_of_logs(state.logs, PROGRAMS))
    _say("\n" + places(state))
    if not _ends_by_itself():
        _say("\nSend more mail to alice or bob, or ^C to stop everything.")
        watch(daemons)
    return 0 if good else 1


def _add_accounts(state: State) -> None:
    """Two mailboxes, one over TLS and one over STARTTLS, a handler and two rules; from an earlier run, the same."""
    text = WANTED.read_text(encoding="utf-8")
    words = {
        "IMAP_PORT": str(state.ports.imap),
        "IMAPS_PORT": str(state.ports.imaps),
        "CERTIFICATE": str(state.certificate),
    }
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    wanted = state.folder / "demo.toml"
    wanted.write_text(text, encoding="utf-8")
    concord(state, "apply", str(wanted))


def _wait_for_polls(daemons: Daemons, looked: Concord, *, since: datetime) -> None:
    """Until both mailboxes were polled: beat fires, the worker consumes, Dovecot answers."""
    accounts = [looked.accounts.get(name).id for name in (ALICE, BOB)]
    deadline = time.monotonic() + ARRIVE_SECONDS
    while time.monotonic() < deadline:
        daemons.check_alive()
        polled = [looked.accounts.status(account).last_success for account in accounts]
        if all(at and at > since for at in polled):
            return
        time.sleep(0.2)
    raise CannotRunError(f"No poll after {ARRIVE_SECONDS:.0f} s.\n{tail_of_logs(daemons.state.logs, PROGRAMS)}")


def _deliver_and_watch(
    daemons: Daemons, looked: Concord, dozen: list[DemoMail]
) -> tuple[list[Arrival], dict[str, str]]:
    """The mails that arrived, and of the others where they stand."""
    delivered = deliver(daemons.state, dozen)
    _say(f"{len(delivered)} mails delivered by IMAP. Their events, as they arrive:\n\n{table.heading()}")
    looking = Watch(looked, delivered)
    arrivals: list[Arrival] = []
    deadline = time.monotonic() + ARRIVE_SECONDS
    while looking.missing and time.monotonic() < deadline:
        daemons.check_alive()
        for arrival in looking.arrivals():
            arrivals.append(arrival)
            _say(table.row(arrival))
        time.sleep(0.2)
    return arrivals, {one.mail.kind: looking.standing(one) for one in looking.missing}


def _summary(arrivals: list[Arrival], missed: dict[str, str]) -> str:
    whole = sum(arrival.is_whole for arrival in arrivals)
    total = len(arrivals) + len(missed)
    lines = [
        f"\n{len(arrivals)} of {total} mails became events; {whole} with equal octets in the archive and delivered."
    ]
    lines += [f"  missing: {kind:28} {standing}" for kind, standing in missed.items()]
    return "\n".join(lines)


def _ends_by_itself() -> bool:
    return os.environ.get("DEMO_EXIT") == "1"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
