"""The database's secrets: the right key is known, and a new one comes in while everything runs (A3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from concord.adapters.imap.keys import Keys, NoTokens
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.engine import transaction
from concord.adapters.sql.key_ring import SqlKeyRing
from concord.adapters.sql.oauth_clients import SqlOAuthClients
from concord.adapters.sql.oauth_grants import SqlOAuthGrants
from concord.adapters.sql.rulebook import SqlRulebook
from concord.adapters.sql.sealed import Closed, Resealed, closed, forget, reseal, verify_key
from concord.adapters.vault import PLAIN_CHECK, FernetVault, KeySet, new_key
from concord.bootstrap import Concord
from concord.errors import MailboxSecretError, SecretKeyError, SecretMovedError
from concord.model.account import AccountState, AccountStatus, AuthKind
from concord.model.audit import AuditFilter
from concord.model.binding import of_access_token, of_client, of_handler, of_password, of_refresh_token
from concord.model.fault import in_english
from concord.model.key_ring import Link
from concord.model.oauth import OAuthClient, OAuthGrant, OAuthProvider
from concord.model.rule import HandlerSpec
from concord.pipeline import health
from concord.services import secrets
from concord.settings import DatabaseSettings, PollSettings, Settings
from concord.wording import english
from tests.factories import sealed_for, sealed_in
from tests.sql_world import account, now


class KeyFile:
    """A file of keys, as an operator edits it."""

    def __init__(self) -> None:
        self.keys = [new_key()]

    def read(self) -> list[str]:
        return list(self.keys)


@pytest.fixture
def file() -> KeyFile:
    """With one key."""
    return KeyFile()


@pytest.fixture
def vault(file: KeyFile) -> FernetVault:
    """On that file."""
    return FernetVault(file.read)


@pytest.fixture
def accounts(engine: Engine, vault: FernetVault) -> SqlAccounts:
    """One account and one handler with a secret, one account without."""
    accounts = SqlAccounts(engine, now)
    accounts.add(sealed_in(vault, account("sales"), "hunter2"))
    accounts.add(account("open", secret=b""))
    SqlRulebook(engine).save_handler(sealed_for(vault, HandlerSpec(name="hook", kind="webhook"), "whsec"))
    return accounts


def test_the_first_key_becomes_the_databases_own(engine: Engine, vault: FernetVault) -> None:
    verify_key(engine, vault)

    verify_key(engine, vault)
    with pytest.raises(SecretKeyError, match="does not open this database's secrets") as caught:
        verify_key(engine, FernetVault(KeyFile().read))
    assert "Put back the key" in english.explain(caught.value)


def test_after_a_rotation_the_new_key_alone_opens_everything(
    engine: Engine, vault: FernetVault, file: KeyFile, accounts: SqlAccounts
) -> None:
    verify_key(engine, vault)
    file.keys.insert(0, new_key())

    done = reseal(engine, vault.look())

    file.keys.pop()
    alone = FernetVault(file.read)
    verify_key(engine, alone)
    assert done == Resealed(accounts=1, handlers=1, unopened=())
    assert alone.unseal(accounts.get("sales").secret, of_password(accounts.get("sales"))) == "hunter2"
    assert (
        alone.unseal(SqlRulebook(engine).handlers()[0].secret, of_handler(SqlRulebook(engine).handlers()[0])) == "whsec"
    )
    assert accounts.get("open").secret == b""


def test_sealing_again_twice_is_harmless(engine: Engine, vault: FernetVault, accounts: SqlAccounts) -> None:
    reseal(engine, vault.look())

    assert reseal(engine, vault.look()) == Resealed(accounts=1, handlers=1, unopened=())
    assert vault.unseal(accounts.get("sales").secret, of_password(accounts.get("sales"))) == "hunter2"


def test_what_no_key_opens_is_named_and_the_rest_goes_on(
    engine: Engine, vault: FernetVault, accounts: SqlAccounts
) -> None:
    accounts.add(account("broken", secret=b"not a token"))

    done = reseal(engine, vault.look())

    assert done == Resealed(accounts=1, handlers=1, unopened=("broken",))
    assert accounts.get("broken").secret == b"not a token"


def test_a_rotation_that_was_killed_can_be_begun_again(
    engine: Engine, vault: FernetVault, file: KeyFile, accounts: SqlAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_key(engine, vault)
    file.keys.insert(0, new_key())
    left = [1]
    real = KeySet.reseal

    def killed(keys: KeySet, sealed: bytes, where: bytes = b"") -> bytes:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return real(keys, sealed, where)

    with monkeypatch.context() as patched:
        patched.setattr(KeySet, "reseal", killed)
        with pytest.raises(KeyboardInterrupt):
            reseal(engine, vault.look())

    fresh = FernetVault(file.read)
    verify_key(engine, fresh)
    assert fresh.unseal(accounts.get("sales").secret, of_password(accounts.get("sales"))) == "hunter2"
    assert (
        fresh.unseal(SqlRulebook(engine).handlers()[0].secret, of_handler(SqlRulebook(engine).handlers()[0])) == "whsec"
    )
    assert reseal(engine, fresh.look()).unopened == ()


def test_a_rotation_is_not_a_changed_password(engine: Engine, vault: FernetVault, accounts: SqlAccounts) -> None:
    """A5: an account whose login was refused stays so."""
    from_before = replace(accounts.status(1), failures=3)
    accounts.set_status(1, from_before)

    reseal(engine, vault.look())

    assert accounts.status(1) == from_before


def test_a_lost_keys_secrets_can_be_forgotten(engine: Engine, accounts: SqlAccounts, vault: FernetVault) -> None:
    """A3: after a purge and a reinstall with the database kept, nothing would start."""
    verify_key(engine, vault)
    fresh = FernetVault(KeyFile().read)
    accounts.add(sealed_in(fresh, account("new"), "given again"))

    gone = forget(engine, fresh, now())

    assert gone == Closed(accounts=("sales",), handlers=("hook",))
    verify_key(engine, fresh)
    assert closed(engine, fresh) == Closed(accounts=(), handlers=())
    with pytest.raises(SecretKeyError):
        verify_key(engine, vault)


def test_what_lost_its_secret_is_disabled_and_says_what_to_do(
    engine: Engine, accounts: SqlAccounts, vault: FernetVault
) -> None:
    """An account without its password cannot be polled; a webhook without its secret would go out unsigned."""
    forget(engine, FernetVault(KeyFile().read), now())

    sales, hook = accounts.get("sales"), SqlRulebook(engine).handlers()[0]
    assert (sales.enabled, sales.secret, hook.enabled, hook.secret) == (False, b"", False, b"")
    status = accounts.status(sales.id)
    assert status.state is AccountState.AUTH_FAILED
    assert "concord account edit sales --password-stdin" in (in_english(status.last_error) or "")
    assert accounts.get("open").enabled


def test_an_account_given_its_password_again_is_as_new(
    engine: Engine, accounts: SqlAccounts, vault: FernetVault
) -> None:
    fresh = FernetVault(KeyFile().read)
    forget(engine, fresh, now())

    accounts.save(replace(sealed_in(fresh, accounts.get("sales"), "again"), enabled=True))

    assert accounts.status(accounts.get("sales").id).state is not AccountState.AUTH_FAILED


def test_forgetting_with_the_right_key_forgets_nothing(
    engine: Engine, accounts: SqlAccounts, vault: FernetVault
) -> None:
    verify_key(engine, vault)

    assert forget(engine, vault, now()) == Closed(accounts=(), handlers=())
    assert accounts.get("sales").enabled
    verify_key(engine, vault)


def test_a_password_given_while_rows_are_sealed_again_is_kept(
    engine: Engine, vault: FernetVault, file: KeyFile, accounts: SqlAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 9, B: the row is written only where its ciphertext is the one that was read."""
    file.keys.insert(0, new_key())
    given, real = vault.seal("given meanwhile", of_password(account("sales"))), KeySet.reseal

    def slow(keys: KeySet, sealed: bytes, where: bytes = b"") -> bytes:
        accounts.save(replace(accounts.get("sales"), secret=given))
        return real(keys, sealed, where)

    with monkeypatch.context() as patched:
        patched.setattr(KeySet, "reseal", slow)
        reseal(engine, vault.look())

    assert vault.unseal(accounts.get("sales").secret, of_password(accounts.get("sales"))) == "given meanwhile"


# OAuth2 (A2).


@pytest.fixture
def signed_in(engine: Engine, vault: FernetVault, accounts: SqlAccounts) -> SqlOAuthGrants:
    """A client with a secret, and an account that somebody signed in for."""
    main = OAuthClient(name="main", provider=OAuthProvider.GOOGLE, client_id="x")
    client = SqlOAuthClients(engine, now).save(replace(main, secret=vault.seal("client secret", of_client(main))))
    alice = accounts.add(account("alice", secret=b"", auth=AuthKind.OAUTH2, oauth_client="main"))
    grants = SqlOAuthGrants(engine, now)
    grants.keep(
        OAuthGrant(
            account_id=alice.id,
            client_id=client.id,
            granted_at=now(),
            refresh_token=vault.seal("refresh", of_refresh_token(alice, client)),
            access_token=vault.seal("access", of_access_token(alice, client)),
        )
    )
    return grants


def test_a_rotation_takes_the_tokens_along(
    engine: Engine, vault: FernetVault, file: KeyFile, signed_in: SqlOAuthGrants
) -> None:
    verify_key(engine, vault)
    file.keys.insert(0, new_key())

    done = reseal(engine, vault.look())

    file.keys.pop()
    alone = FernetVault(file.read)
    grant, client = signed_in.get(SqlAccounts(engine, now).get("alice").id), SqlOAuthClients(engine, now).get("main")
    assert (done.clients, done.tokens, done.unopened) == (1, 2, ())
    assert grant is not None
    alice = SqlAccounts(engine, now).get("alice")
    assert alone.unseal(grant.refresh_token, of_refresh_token(alice, client)) == "refresh"
    assert alone.unseal(grant.access_token, of_access_token(alice, client)) == "access"
    assert alone.unseal(client.secret, of_client(client)) == "client secret"


def test_tokens_that_no_key_opens_are_forgotten_and_the_account_says_what_to_do(
    engine: Engine, accounts: SqlAccounts, signed_in: SqlOAuthGrants
) -> None:
    gone = forget(engine, FernetVault(KeyFile().read), now())

    alice = accounts.get("alice")
    grant, status = signed_in.get(alice.id), accounts.status(alice.id)
    assert (gone.clients, gone.signed_in) == (("main",), ("alice",))
    assert grant is not None
    assert (grant.refresh_token, grant.access_token) == (b"", b"")
    assert SqlOAuthClients(engine, now).get("main").secret == b""
    assert (alice.enabled, status.state) == (True, AccountState.AUTH_FAILED)
    assert "Sign in again with 'concord oauth login" in (in_english(status.last_error) or "")


# An attacker who can write the database and lacks the key (A3).

ATTACKS = {
    "host": "UPDATE accounts SET host = 'evil.example' WHERE name = 'sales'",
    "port": "UPDATE accounts SET port = 1 WHERE name = 'sales'",
    "TLS": "UPDATE accounts SET tls = 'none' WHERE name = 'sales'",
    "authority": "UPDATE accounts SET ca_file = '/var/lib/concord/evil.pem' WHERE name = 'sales'",
    "pasted authority": "UPDATE accounts SET ca_pem = 'evil' WHERE name = 'sales'",
    "another row": "UPDATE accounts SET secret = (SELECT secret FROM handlers) WHERE name = 'sales'",
    "swap": "UPDATE accounts SET secret = (SELECT secret FROM accounts WHERE name = 'other') WHERE name = 'sales'",
    "token": "UPDATE accounts SET secret = (SELECT refresh_token FROM oauth_grants) WHERE name = 'sales'",
    "ring": "UPDATE accounts SET secret = (SELECT sealed FROM key_ring) WHERE name = 'sales'",
    "replay of an older format": "UPDATE accounts SET secret = :replayed WHERE name = 'sales'",
    "replay of another server's": "UPDATE accounts SET secret = :former WHERE name = 'sales'",
}
HANDLER_ATTACKS = {
    "address": "UPDATE handlers SET options = '{\"url\": \"https://evil.example\"}' WHERE name = 'hook'",
    "an option": "UPDATE handlers SET options = '{\"timeout\": 5}' WHERE name = 'hook'",
    "kind": "UPDATE handlers SET kind = 'redis-stream' WHERE name = 'hook'",
    "swap": "UPDATE handlers SET secret = (SELECT secret FROM handlers WHERE name = 'two') WHERE name = 'hook'",
    "a password": "UPDATE handlers SET secret = (SELECT secret FROM accounts WHERE name = 'sales') WHERE name = 'hook'",
    "a client's secret": "UPDATE handlers SET secret = (SELECT secret FROM oauth_clients) WHERE name = 'hook'",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_secret_that_was_moved_in_the_database_is_refused(
    engine: Engine, vault: FernetVault, accounts: SqlAccounts, signed_in: SqlOAuthGrants, attack: str
) -> None:
    del signed_in
    verify_key(engine, vault)
    accounts.add(sealed_in(vault, account("other", host="other.example"), "other password"))
    keys = vault.look()
    SqlKeyRing(engine, now).offer(keys.wrap(new_key(), link=Link.NEXT, by=keys.sealing, now=now()))
    copies = {
        "replayed": vault.seal("hunter2"),
        "former": vault.seal("hunter2", of_password(account("sales", host="former.example"))),
    }
    words = {name: value for name, value in copies.items() if f":{name}" in ATTACKS[attack]}
    with transaction(engine) as connection:
        connection.execute(text(ATTACKS[attack]), words)

    with pytest.raises(MailboxSecretError) as caught:
        Keys(vault, NoTokens()).secret(accounts.get("sales"))

    assert (caught.value.situation, health.failed(AccountStatus(), caught.value, now(), PollSettings()).state) == (
        "mailbox_secret.moved",
        AccountState.AUTH_FAILED,
    )
    assert closed(engine, vault).accounts == ("sales",)


@pytest.mark.parametrize("attack", HANDLER_ATTACKS)
def test_handlers_secret_that_was_moved_in_the_database_is_refused(
    engine: Engine, vault: FernetVault, signed_in: SqlOAuthGrants, attack: str
) -> None:
    del signed_in
    verify_key(engine, vault)
    rulebook = SqlRulebook(engine)
    rulebook.save_handler(sealed_for(vault, HandlerSpec(name="two", kind="webhook"), "whsec two"))
    with transaction(engine) as connection:
        connection.execute(text(HANDLER_ATTACKS[attack].replace(":", "\\:")))
    (hook,) = [one for one in rulebook.handlers() if one.name == "hook"]

    with pytest.raises(SecretMovedError):
        vault.unseal(hook.secret, of_handler(hook))
    assert closed(engine, vault).handlers == ("hook",)


def test_whole_database_of_an_older_version_is_refused_after_a_rotation(
    engine: Engine, vault: FernetVault, accounts: SqlAccounts, file: KeyFile
) -> None:
    """The downgrade: a copy of an old row and of the old check value, written back together."""
    old = {"row": vault.seal("hunter2"), "check": vault.seal(PLAIN_CHECK).decode()}
    write_back = [
        (text("UPDATE accounts SET secret = :row, host = 'evil.example' WHERE name = 'sales'"), {"row": old["row"]}),
        (text("INSERT INTO meta (key, value) VALUES ('vault_check', :check)"), {"check": old["check"]}),
    ]
    running = FernetVault(file.read, SqlKeyRing(engine, now).read)
    with transaction(engine) as connection:
        for statement, words in write_back:
            connection.execute(statement, words)
    sales = accounts.get("sales")
    assert running.unseal(sales.secret, of_password(sales)) == "hunter2"  # not rotated yet

    file.keys.insert(0, new_key())
    accounts.save(replace(sales, host="mail.example.com"))
    reseal(engine, running.look())
    file.keys.pop()
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM meta WHERE key = 'vault_check'"))
        for statement, words in write_back:
            connection.execute(statement, words)

    for daemon in (running, FernetVault(file.read, SqlKeyRing(engine, now).read)):
        with pytest.raises(SecretKeyError):
            daemon.unseal(accounts.get("sales").secret, of_password(accounts.get("sales")))


def test_moved_secret_is_in_the_audit(engine: Engine, accounts: SqlAccounts, file: KeyFile) -> None:
    parts = Concord(Settings(database=DatabaseSettings(url=SecretStr("sqlite://")), secret_key=SecretStr(file.keys[0])))
    vars(parts)["engine"] = engine
    parts.sealing()
    with transaction(engine) as connection:
        connection.execute(text(ATTACKS["host"]))

    for _ in range(2):
        with pytest.raises(SecretMovedError):
            parts.vault.unseal(accounts.get("sales").secret, of_password(accounts.get("sales")))

    (entry,) = parts.audit.entries(AuditFilter(action="secrets.refused"))
    assert (entry.subject, entry.outcome) == ("password of 'sales'", "failed")
    with pytest.raises(SecretMovedError):
        secrets.check(parts)
