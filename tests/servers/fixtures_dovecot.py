"""Fixtures: one Dovecot for the whole run, and a fresh mailbox in it for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.servers.dovecot import Dovecot
from tests.servers.imap_accounts import Polls

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A running server, shared: other users' mail is other tests'."""
    with Dovecot() as server:
        yield server


@pytest.fixture
def mailbox_user(dovecot: Dovecot) -> str:
    """The name of a user nobody used before; the password is in `dovecot.passwords`."""
    dovecot.start()
    return dovecot.add_user(f"user{next(_numbers)}", "open sesame")


@pytest.fixture
def own_dovecot() -> Iterator[Dovecot]:
    """A server of this test's own, for those that stop it."""
    with Dovecot() as server:
        yield server


@pytest.fixture
def polls() -> Iterator[Polls]:
    """IMAP sources with the usual settings; everything kept is closed in the end, every slot given back."""
    made = Polls()
    yield made
    made.sources.close()
    assert made.connections.slots == {}
