"""`concord secrets forget`: a key that is lost for good (A3)."""

from __future__ import annotations

import pytest

from concord.adapters.vault import FernetVault, new_key
from concord.model.account import Account
from tests.fakes.command import Command, MemoryConcord


@pytest.fixture
def lost(concord: MemoryConcord, sales: Account) -> MemoryConcord:
    """One account's password is sealed with a key that is gone."""
    key = new_key()
    vars(concord)["vault"] = FernetVault(lambda: [key])
    return concord


def test_nothing_is_dropped_before_somebody_says_yes(run: Command, lost: MemoryConcord) -> None:
    done = run("secrets", "forget")

    assert done.code == 2
    assert "sales" in done.err
    assert lost.accounts.get("sales").secret


def test_what_is_dropped_is_named_with_how_to_give_it_again(run: Command, lost: MemoryConcord) -> None:
    done = run("secrets", "forget", "--yes")

    assert done.code == 0, done.err
    assert "concord account edit sales --password-stdin && concord account enable sales" in done.out
    assert run("secrets", "check").code == 0
    assert lost.memory_schedule.intervals == {}


def test_with_the_right_key_there_is_nothing_to_forget(run: Command, concord: MemoryConcord, sales: Account) -> None:
    done = run("secrets", "forget", "--json")

    assert done.json == {"accounts": [], "handlers": [], "clients": [], "signed_in": []}
    assert concord.accounts.get("sales").enabled
