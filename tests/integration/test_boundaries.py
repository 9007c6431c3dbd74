"""A process stopped before or after any archive write, commit, publish, flag or webhook loses and doubles nothing.

What a killed process leaves after one write is what it leaves before its next one, so each place is tried once, before
a write; what follows the last write is the run that ends by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from concord.bootstrap import Concord
from concord.model.account import Account, AfterAction, AfterKind, StartKind, StartPoint, Tls
from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec, WorkflowStepSpec
from concord.model.workflow import RunState
from concord.ports import MessageFilter
from concord.settings import ArchiveSettings, DatabaseSettings, Settings
from tests.boundaries import STOPPED, Kind, Tripwire, carry_on, forks, let_time_pass, run_until, watched
from tests.factories import mail, sealed_in
from tests.servers.dovecot import Dovecot
from tests.soak.receivers import Receivers

SUBJECTS = ("first", "last")
# More boundaries of one kind than any such run has: reaching it would mean that the loop below never ends.
MOST = 60


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with Receivers(seed=1) as running:
        yield running


class Place:
    """One mailbox with two mails, a rule that sends each to a handler and a workflow, and MOVE when that is done."""

    def __init__(self, folder: Path, database: str, dovecot: Dovecot, receivers: Receivers, user: str) -> None:
        self.settings = Settings(
            database=DatabaseSettings(url=SecretStr(database)),
            archive=ArchiveSettings(path=folder),
            webhook={"allow_networks": ["127.0.0.0/8"]},
            secret_key=SecretStr(Fernet.generate_key().decode()),
        )
        self.dovecot, self.receivers, self.user = dovecot, receivers, user
        for seen in receivers.accepted.values():
            seen.clear()
        dovecot.add_user(user)
        dovecot.append_many(user, [mail(subject) for subject in SUBJECTS])
        concord = Concord(self.settings)
        account = Account(
            name=user,
            host="127.0.0.1",
            port=dovecot.imap_port,
            tls=Tls.NONE,
            user=user,
            start=StartPoint(kind=StartKind.ALL),
            after=AfterAction(kind=AfterKind.MOVE, folder="Done"),
        )
        concord.accounts.add(sealed_in(concord.vault, account, dovecot.passwords[user]))
        rules = concord.rulebook
        rules.save_handler(HandlerSpec(name="steady", kind="webhook", options={"url": receivers.url("/steady")}))
        step = WorkflowStepSpec(name="tell", kind="webhook", options={"url": receivers.url("/shaky")})
        rules.save_workflow(WorkflowSpec(name="flow", steps=(step,)))
        rules.save_rule(Rule(name="all", handlers=("steady",), workflows=("flow",)))
        concord.engine.dispose()

    def judge(self, concord: Concord) -> None:
        """Each mail is one event, delivered, its run over, its bytes archived, moved once; nobody is blamed."""
        made = concord.ledger.search(MessageFilter(limit=100))
        assert {message.state for message in made} == {MessageState.PROCESSED}
        assert sum(message.failures for message in made) == 0
        assert Counter(event.subject for event in concord.outbox.events()) == Counter(SUBJECTS)
        done = concord.outbox.deliveries()
        assert [(one.state, one.failures) for one in done] == [(DeliveryState.DELIVERED, 0)] * len(SUBJECTS)
        runs = concord.outbox.runs()
        assert [(one.state, one.failures) for one in runs] == [(RunState.SUCCEEDED, 0)] * len(SUBJECTS)
        # A receiver may hear of an event twice, and knows it by its id.
        assert [len(seen) for seen in self.receivers.accepted.values()] == [len(SUBJECTS)] * 2
        for message in made:
            assert message.archive_key
            assert concord.archive.read(message.archive_key, sha256=message.sha256)
        self.dovecot.kick(self.user)
        assert len(self.dovecot.flags(self.user)) == 0
        assert len(self.dovecot.flags(self.user, "Done")) == len(SUBJECTS)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_process_that_stops_at_a_boundary_loses_and_doubles_nothing(
    kind: Kind,
    fresh_database: Callable[[], str],
    dovecot: Dovecot,
    receivers: Receivers,
    tmp_path: Path,
) -> None:
    """P4, P5, P6, P8, P9, P12."""
    for nth in range(1, MOST):
        user = f"stop-{kind}-{tmp_path.name[-20:]}-{nth}".lower()
        place = Place(tmp_path / f"archive-{nth}", fresh_database(), dovecot, receivers, user)
        process = forks.Process(target=run_until, args=(place.settings, kind, "before", nth))
        process.start()
        process.join(120)
        assert process.exitcode in (STOPPED, 0), f"before {kind} number {nth}"

        concord, queue = watched(place.settings, Tripwire())
        let_time_pass(concord.engine)
        carry_on(concord, queue, rounds=3)

        place.judge(concord)
        concord.engine.dispose()
        if process.exitcode == 0:
            break
    assert 1 < nth < MOST - 1, f"{nth - 1} boundaries of this kind were passed"
