"""What the adapter makes of a known provider (A6, A4)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from concord.adapters.imap import ImapSources
from concord.adapters.imap.errors import login_refused
from concord.adapters.imap.keys import Keys, NoTokens
from concord.errors import MailboxBudgetError
from concord.model.account import Account
from concord.ports import KeptSlots
from concord.settings import PollSettings
from concord.wording import english
from tests.fakes.vault import NullVault

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class FullHouse:
    """Keeps `ports.Connections` with never a slot free; remembers what was asked."""

    asked: tuple[int, int]

    def acquire(self, host: str, login: str, *, per_login: int, per_host: int, until: datetime) -> int | None:
        del host, login, until
        self.asked = (per_login, per_host)
        return None

    def ask(self, host: str, login: str, *, per_login: int) -> bool:
        del host, login, per_login
        return False

    def renew(self, slots: object, *, idle: object, until: datetime) -> KeptSlots:
        del slots, idle, until
        return KeptSlots()

    def release(self, slot: int) -> None: ...


@pytest.mark.parametrize(
    ("host", "configured", "asked"),
    [
        ("imap.gmail.com", 100, 15),
        ("imap.gmail.com", 8, 8),
        ("imap.mail.yahoo.com", 8, 5),
        ("mail.example.org", 100, 100),
    ],
)
def test_known_provider_bounds_the_connections_of_a_login(host: str, configured: int, asked: int) -> None:
    house = FullHouse()
    sources = ImapSources(
        PollSettings(connections_per_login=configured), Keys(NullVault(), NoTokens()), house, lambda: NOW
    )

    with (
        pytest.raises(MailboxBudgetError) as caught,
        sources.open(Account(name="a", host=host, user="u"), deadline=NOW.replace(hour=1)),
    ):
        pass

    assert house.asked[0] == asked
    assert caught.value.facts["per_login"] == asked


def test_refused_login_says_what_the_provider_wants() -> None:
    facts = {"account": "sales", "host": "imap.gmail.com", "port": 993}

    told = english.explain(login_refused(Exception("[AUTHENTICATIONFAILED] Invalid credentials"), facts, hide=()))

    assert "app password" in told
    assert "concord account edit sales --password-stdin" in told
