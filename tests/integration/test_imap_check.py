"""The connection test (A4): each step told in plain words, the first failure with its cause and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.model.account import Account, Tls
from concord.ports import CheckStep
from concord.wording import english
from tests.servers.certificates import Fault, authority_pem
from tests.servers.dovecot import Dovecot
from tests.servers.hostile_imap import HostileImap
from tests.servers.imap_accounts import VAULT, Polls, account_at, account_on
from tests.servers.redis import free_port


def steps(polls: Polls, account: Account) -> dict[str, CheckStep]:
    return {step.name: step for step in polls.sources.test(account)}


@pytest.mark.parametrize("tls", list(Tls))
def test_a_good_account_passes_every_step(polls: Polls, dovecot: Dovecot, mailbox_user: str, tls: Tls) -> None:
    dovecot.append_many(mailbox_user, [b"Subject: x\r\n\r\nx\r\n"] * 3, "收件")

    found = steps(polls, account_on(dovecot, mailbox_user, tls, folders=("INBOX", "收件")))

    assert list(found) == ["dns", "tcp", "tls", "login", "capabilities", "folders"]
    assert all(step.ok for step in found.values())
    assert "127.0.0.1" in found["dns"].detail
    assert "CONDSTORE" in found["capabilities"].detail
    assert found["folders"].detail == "INBOX: 0 messages, 收件: 3 messages"
    assert found["folders"].facts == {"folders": {"INBOX": 0, "收件": 3}, "present": ["INBOX", "收件"]}
    assert found["tcp"].facts == {"address": "127.0.0.1", "port": account_on(dovecot, mailbox_user, tls).port}


@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
def test_the_certificate_is_told(polls: Polls, dovecot: Dovecot, mailbox_user: str, tls: Tls) -> None:
    told = steps(polls, account_on(dovecot, mailbox_user, tls))["tls"].detail

    assert told.startswith("TLSv1.")
    assert "certificate for CN=localhost, from CN=Concord test authority, valid until 20" in told
    assert "days left" in told
    facts = steps(polls, account_on(dovecot, mailbox_user, tls))["tls"].facts
    assert (facts["subject"], facts["days"] > 0) == ("CN=localhost", True)


def test_a_connection_in_clear_is_called_that(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    assert "in clear" in steps(polls, account_on(dovecot, mailbox_user, Tls.NONE))["tls"].detail


def test_all_folders_are_listed_where_all_are_polled(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.create_folder(mailbox_user, "Entwürfe")

    told = steps(polls, account_on(dovecot, mailbox_user, folders=("*",)))["folders"].detail

    assert told.startswith("2 folders: ")
    assert "Entwürfe" in told


def test_an_expired_certificate_is_shown(polls: Polls) -> None:
    with Dovecot(fault=Fault.EXPIRED) as server:
        found = steps(polls, account_on(server, server.add_user("alice")))

    assert list(found) == ["dns", "tcp", "tls"]
    assert not found["tls"].ok
    assert found["tls"].cause.startswith("the certificate has expired; certificate for CN=localhost")
    assert "expired 3" in found["tls"].cause
    assert found["tls"].error
    assert english.remedy(found["tls"].error) == "Renew the certificate on the server"


@pytest.mark.parametrize(
    ("change", "step", "cause"),
    [
        ({"host": "no-such-host.invalid"}, "dns", ""),
        ({"port": free_port()}, "tcp", "connection refused"),
        ({"ca_file": None}, "tls", "unknown authority"),
        ({"ca_file": None, "ca_pem": authority_pem()}, "tls", "unknown authority"),
        ({"ca_file": None, "ca_pem": "damaged"}, "tls", ""),
        ({"secret": VAULT.seal("wrong-horse")}, "login", "AUTHENTICATIONFAILED"),
        ({"secret": b"garbage"}, "login", ""),
        ({"folders": ("INBOX", "Nirgends")}, "folders", "Nirgends"),
    ],
)
def test_the_first_failure_is_the_last_step(
    polls: Polls, dovecot: Dovecot, mailbox_user: str, change: dict[str, Any], step: str, cause: str
) -> None:
    found = steps(polls, account_on(dovecot, mailbox_user, **change))

    *before, last = found.values()
    assert all(earlier.ok for earlier in before)
    assert (last.name, last.ok) == (step, False)
    assert cause in last.cause
    assert cause in " ".join(last.facts.values())
    assert last.error
    assert english.remedy(last.error)
    assert "wrong-horse" not in repr(last)


def test_pasted_authority_proves_the_server(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    pem = Path(dovecot.ca_file).read_text(encoding="ascii")

    found = steps(polls, account_on(dovecot, mailbox_user, ca_file=None, ca_pem=pem))

    assert all(step.ok for step in found.values())


def test_no_password_goes_to_a_server_that_wants_none(polls: Polls) -> None:
    with HostileImap(capabilities=b"IMAP4rev1 LOGINDISABLED") as server:
        found = steps(polls, account_at(server.port))

        assert not found["login"].ok
        assert "LOGIN" not in server.verbs()


def test_testing_takes_no_slot_of_the_budget(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    """A test must work while polls fill the budget; it ends within seconds."""
    steps(polls, account_on(dovecot, mailbox_user))

    assert polls.connections.slots == {}
