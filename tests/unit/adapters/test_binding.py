"""A stored secret opens where it was sealed for, and nowhere else (A3)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import concord
from concord.adapters.vault import PLAIN_CHECK, FernetVault, KeySet, new_key
from concord.errors import SecretKeyError, SecretMovedError, UsageError
from concord.model.account import Account, Tls
from concord.model.binding import (
    CHECK,
    bind,
    bound_to,
    of_access_token,
    of_answer,
    of_client,
    of_handler,
    of_list,
    of_password,
    of_refresh_token,
    of_ring_key,
    of_verifier,
)
from concord.model.key_ring import KeyRing
from concord.model.oauth import OAuthClient, OAuthProvider
from concord.model.rule import HandlerSpec
from concord.pipeline.account_check import check_keeps_secret
from concord.wording import english

SOURCE = Path(concord.__file__).parent
PLAIN_AND_PLACE = 2
KEY = new_key()
OFFICE = Account(name="office", host="mail.example.com", user="office", tls=Tls.IMPLICIT)
CLIENT = OAuthClient(name="main", provider=OAuthProvider.OTHER, client_id="x", issuer="https://id.example.com")
HOOK = HandlerSpec(name="crm", kind="redis-stream", options={"url": "redis://redis.example.com/0"})

MOVES: dict[str, Callable[[], bytes]] = {
    "another host": lambda: of_password(replace(OFFICE, host="evil.example")),
    "another port": lambda: of_password(replace(OFFICE, port=1993)),
    "no TLS": lambda: of_password(replace(OFFICE, tls=Tls.NONE)),
    "STARTTLS": lambda: of_password(replace(OFFICE, tls=Tls.STARTTLS)),
    "another authority": lambda: of_password(replace(OFFICE, ca_file="/tmp/evil.pem")),  # noqa: S108 - never opened
    "a pasted authority": lambda: of_password(replace(OFFICE, ca_pem="evil")),
    "another row": lambda: of_password(replace(OFFICE, name="mallory")),
    "another purpose": lambda: of_handler(replace(HOOK, name="office")),
    "a token": lambda: of_access_token(OFFICE, CLIENT),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("move", MOVES)
def test_password_opens_at_its_own_place_alone(move: str) -> None:
    keys = KeySet.of([KEY])
    sealed = keys.seal("hunter2", of_password(OFFICE))

    assert keys.unseal(sealed, of_password(OFFICE)) == "hunter2"
    with pytest.raises(SecretMovedError) as caught:
        keys.unseal(sealed, MOVES[move]())
    assert "hunter2" not in english.explain(caught.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (of_client(CLIENT), of_client(replace(CLIENT, issuer="https://evil.example"))),
        (of_client(CLIENT), of_client(replace(CLIENT, client_id="y"))),
        (of_client(CLIENT), of_client(replace(CLIENT, provider=OAuthProvider.GOOGLE))),
        (of_refresh_token(OFFICE, CLIENT), of_refresh_token(OFFICE, replace(CLIENT, issuer="https://evil.example"))),
        (of_refresh_token(OFFICE, CLIENT), of_refresh_token(replace(OFFICE, host="evil.example"), CLIENT)),
        (of_refresh_token(OFFICE, CLIENT), of_access_token(OFFICE, CLIENT)),
        (of_access_token(OFFICE, CLIENT), of_access_token(replace(OFFICE, port=1), CLIENT)),
        (of_handler(HOOK), of_handler(replace(HOOK, options={"url": "redis://evil.example/0"}))),
        (of_handler(HOOK), of_handler(replace(HOOK, options={**HOOK.options, "endpoint": "https://evil.example"}))),
        (of_handler(HOOK), of_handler(replace(HOOK, kind="webhook"))),
        (of_verifier(b"a", CLIENT), of_verifier(b"a", replace(CLIENT, issuer="https://evil.example"))),
        (of_verifier(b"a", CLIENT), of_verifier(b"b", CLIENT)),
        (of_answer("user 1", "a", "f"), of_answer("user 2", "a", "f")),
        (of_answer("user 1", "a", "f"), of_password(OFFICE)),
        (of_ring_key("a", "b"), of_password(OFFICE)),
        (of_list(1), of_list(2)),
        (of_handler(HOOK), of_handler(replace(HOOK, name="other"))),
        (bind("a", "b,c"), bind("a", "b", "c")),
    ],
)
def test_each_kind_of_secret_is_bound_to_what_it_is_sent_to(before: bytes, after: bytes) -> None:
    keys = KeySet.of([KEY])

    with pytest.raises(SecretMovedError):
        keys.unseal(keys.seal("hunter2", before), after)


@pytest.mark.parametrize(
    "same", [OFFICE, replace(OFFICE, host="MAIL.example.com."), replace(OFFICE, user="robert", interval=90, id=7)]
)
def test_what_leads_to_the_same_server_keeps_its_password(same: Account) -> None:
    keys = KeySet.of([KEY])

    assert keys.unseal(keys.seal("hunter2", of_password(OFFICE)), of_password(same)) == "hunter2"


@pytest.mark.parametrize("octet", [0, 3, 20, 40, -1])
def test_changed_octet_is_refused(octet: int) -> None:
    keys = KeySet.of([KEY])
    sealed = bytearray(keys.seal("hunter2", of_password(OFFICE)))
    sealed[octet] ^= 1

    with pytest.raises(SecretKeyError):
        keys.unseal(bytes(sealed), of_password(OFFICE))


@pytest.mark.parametrize("written", ["c2.x", "gAAAAAnothing", 10**12, 1.5])
def test_what_is_no_ciphertext_at_all_is_refused(written: Any) -> None:
    """SQLite keeps what somebody writes past Concord, of any type."""
    with pytest.raises(SecretKeyError):
        vault_of(None).unseal(written, of_password(OFFICE))


def test_wrong_key_is_no_moved_secret() -> None:
    sealed = KeySet.of([new_key()]).seal("hunter2", of_password(OFFICE))

    with pytest.raises(SecretKeyError) as caught:
        KeySet.of([KEY]).unseal(sealed, of_password(OFFICE))

    assert not isinstance(caught.value, SecretMovedError)


def test_no_secret_is_sealed_or_opened_without_its_place() -> None:
    """Unbound, a seal opens wherever somebody copies it. The vault's own methods hand on what they are given."""
    calls = [
        (file.relative_to(SOURCE).as_posix(), node.lineno)
        for file in SOURCE.rglob("*.py")
        if file.name != "vault.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"seal", "unseal", "reseal"}
        and len(node.args) + len(node.keywords) < PLAIN_AND_PLACE
    ]

    assert calls == []


# What an older version sealed.


def older(plain: str) -> bytes:
    """Bound to nothing."""
    return KeySet.of([KEY]).seal(plain)


def vault_of(check: bytes | None) -> FernetVault:
    return FernetVault(lambda: [KEY], lambda: KeyRing(check=check))


def test_older_secrets_open_until_all_are_sealed_again() -> None:
    lenient = vault_of(older(PLAIN_CHECK))
    strict = vault_of(KeySet.of([KEY]).seal(PLAIN_CHECK, CHECK))

    assert lenient.unseal(older("hunter2"), of_password(OFFICE)) == "hunter2"
    with pytest.raises(SecretMovedError):
        strict.unseal(older("hunter2"), of_password(OFFICE))


@pytest.mark.parametrize(
    "check",
    [None, b"", older("anything else"), KeySet.of([new_key()]).seal(PLAIN_CHECK), b"c2.x"],
    ids=["none", "empty", "another word", "another key", "bound"],
)
def test_no_other_check_value_makes_older_secrets_open(check: bytes | None) -> None:
    """Nobody who lacks the key can make a database look like an older version's."""
    with pytest.raises(SecretMovedError):
        vault_of(check).unseal(older("hunter2"), of_password(OFFICE))


def test_older_secret_is_bound_when_it_is_sealed_again() -> None:
    lenient = vault_of(older(PLAIN_CHECK)).look()

    bound = lenient.reseal(older("hunter2"), of_password(OFFICE))

    assert not lenient.is_newest(older("hunter2"), of_password(OFFICE))
    assert lenient.is_newest(bound, of_password(OFFICE))
    with pytest.raises(SecretMovedError):
        lenient.unseal(bound, of_password(replace(OFFICE, host="evil.example")))


def test_planted_older_secret_is_not_bound_by_sealing_it_again() -> None:
    strict = vault_of(KeySet.of([KEY]).seal(PLAIN_CHECK, CHECK))

    with pytest.raises(SecretMovedError):
        strict.reseal(older("hunter2"), of_password(OFFICE))


def test_moved_secret_is_told_once() -> None:
    told: list[SecretMovedError] = []
    keys = KeySet.of([KEY])
    vault = FernetVault(lambda: [KEY], KeyRing, told.append)
    sealed = keys.seal("hunter2", of_password(OFFICE))

    for _ in range(3):
        with pytest.raises(SecretMovedError):
            vault.unseal(sealed, of_password(replace(OFFICE, name="mallory")))

    assert [one.facts["place"] for one in told] == ["password of 'mallory'"]


def test_place_is_named_for_people() -> None:
    assert bound_to(of_password(OFFICE)) == "password of 'office'"
    assert bound_to(CHECK) == "check value"


@pytest.mark.parametrize(
    "change",
    [{"host": "evil.example"}, {"port": 1}, {"tls": Tls.STARTTLS}, {"tls": Tls.NONE}, {"ca_file": "/etc/evil.pem"}],
)
def test_change_of_what_it_is_bound_to_takes_the_password_again(change: dict[str, Any]) -> None:
    """A6: permission to change a mailbox does not reveal what opens it."""
    with pytest.raises(UsageError, match="The password is for the server"):
        check_keeps_secret(OFFICE, replace(OFFICE, **change))
