"""A real mail server renumbers a folder while a process that reads it is killed: each new mail is one event (P15).

The suite runs a small one. The size that P15 names, a quarter of an hour on two databases:

    RENUMBERED_MAILS=10000 pytest tests/integration/test_renumbering.py
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import select

from concord.adapters.sql.engine import reading
from concord.adapters.sql.outbox_tables import events
from concord.bootstrap import Concord
from concord.model.account import Account, StartKind, StartPoint, Tls
from concord.settings import ArchiveSettings, DatabaseSettings, DispatchSettings, PollSettings, Settings
from tests.boundaries import STOPPED, Kind, Tripwire, When, carry_on, forks, let_time_pass, run_until, watched
from tests.factories import mail, sealed_in
from tests.servers.dovecot import Dovecot

OLD = int(os.environ.get("RENUMBERED_MAILS", "160"))
NEW = 50
BATCH = 20
# Where one process after the other is killed: among the new mail, at the seam, and among the old. The archive has the
# old mail already, and is asked for each batch nevertheless.
KILLS: tuple[tuple[Kind, When, int], ...] = (
    ("archive", "before", 1),
    ("archive", "after", 2),
    ("publish", "before", 1),
    ("archive", "after", 3),
    ("archive", "before", max(4, OLD // BATCH // 3)),
)


class Place:
    """One mailbox whose mail has all become events."""

    def __init__(self, folder: Path, database: str, dovecot: Dovecot, user: str) -> None:
        self.settings = Settings(
            database=DatabaseSettings(url=SecretStr(database)),
            archive=ArchiveSettings(path=folder),
            poll=PollSettings(batch_messages=BATCH),
            dispatch=DispatchSettings(default_handlers=()),
            secret_key=SecretStr(Fernet.generate_key().decode()),
        )
        self.dovecot, self.user = dovecot, user
        dovecot.add_user(user)
        dovecot.fill(user, [mail(f"Old {number}") for number in range(OLD)])
        concord = Concord(self.settings)
        account = Account(
            name=user,
            host="127.0.0.1",
            port=dovecot.imap_port,
            tls=Tls.NONE,
            user=user,
            start=StartPoint(kind=StartKind.ALL),
        )
        concord.accounts.add(sealed_in(concord.vault, account, dovecot.passwords[user]))
        concord.engine.dispose()

    def carry_on(self) -> Counter[str | None]:
        """Work until nothing is left to do; how many events there are about each subject."""
        concord, queue = watched(self.settings, Tripwire())
        let_time_pass(concord.engine)
        carry_on(concord, queue, rounds=3, at_once=BATCH)
        with reading(concord.engine) as connection:
            made = Counter(connection.execute(select(events.c.subject)).scalars())
        concord.engine.dispose()
        return made

    def unaccounted(self) -> int | None:
        """How many mails the server has that the ledger lacks."""
        concord = Concord(self.settings)
        found = concord.reconciler.reconcile(concord.accounts.get(self.user).id)
        concord.sources.close()
        concord.engine.dispose()
        return found

    def carry_on_until_killed(self, kind: Kind, when: When, nth: int) -> None:
        """Work in a process that is killed at that boundary."""
        concord = Concord(self.settings)
        let_time_pass(concord.engine)
        concord.engine.dispose()
        process = forks.Process(target=run_until, args=(self.settings, kind, when, nth), kwargs={"at_once": BATCH})
        process.start()
        process.join(1200)
        assert process.exitcode == STOPPED, f"not killed {when} {kind} number {nth}: {process.exitcode}"


@pytest.mark.timeout(3600)
def test_only_new_mail_becomes_events_though_every_process_is_killed(
    fresh_database: Callable[[], str], dovecot: Dovecot, tmp_path: Path
) -> None:
    """P15."""
    user = f"renumbered-{tmp_path.name[-20:]}".lower()
    place = Place(tmp_path / "archive", fresh_database(), dovecot, user)
    old = Counter(f"Old {number}" for number in range(OLD))
    assert place.carry_on() == old

    dovecot.reset_uidvalidity(user)
    dovecot.append_many(user, [mail(f"New {number}") for number in range(NEW)])
    for kind, when, nth in KILLS:
        place.carry_on_until_killed(kind, when, nth)

    assert place.carry_on() == old + Counter(f"New {number}" for number in range(NEW))
    assert place.unaccounted() == 0
