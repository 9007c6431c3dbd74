"""`concord oauth`, and accounts that log in with it, from the command line and from files (A2, A8)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.fernet import Fernet

from concord.model.account import AuthKind
from concord.model.binding import of_client
from concord.model.caller import Caller
from concord.services import oauth_clients
from tests.fakes.command import Answer, Command, MemoryConcord
from tests.oauth_world import CALLBACK, SECRET, client_at, settings_for, visit
from tests.servers.openid import Misdeed, OpenIdServer

SHELL = Caller(actor="root", via="cli")


@pytest.fixture
def concord(provider: OpenIdServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryConcord]:
    """In memory, but for the provider."""
    monkeypatch.setenv("CONCORD_CREDENTIALS", str(tmp_path))
    made = MemoryConcord()
    made.settings = made.settings.model_copy(update={"oauth": settings_for(provider)})
    yield made
    made.engine.dispose()


@pytest.fixture
def run(concord: MemoryConcord) -> Command:
    return Command(lambda: concord)


def add_client(run: Command, provider: OpenIdServer, *more: str) -> Answer:
    words = ["--provider", "other", "--client-id", "concord", "--issuer", provider.issuer, "--secret-stdin", *more]
    return run("oauth", "client", "add", "main", *words, stdin=f"{SECRET}\n")


def test_a_client_is_added_listed_and_removed(run: Command, concord: MemoryConcord, provider: OpenIdServer) -> None:
    added, listed = add_client(run, provider), run("oauth", "client", "list", "--json")

    assert added.code == 0
    assert CALLBACK in added.out
    assert listed.json["redirect_uri"] == CALLBACK
    assert [(one["name"], one["secret"]) for one in listed.json["clients"]] == [("main", "set")]
    assert (
        concord.vault.unseal(concord.oauth_clients.get("main").secret, of_client(concord.oauth_clients.get("main")))
        == SECRET
    )
    assert SECRET not in added.out + added.err + listed.out
    assert "concord" in run("oauth", "client", "list").out
    assert run("oauth", "client", "remove", "main").code == 0
    assert "No OAuth2 clients yet" in run("oauth", "client", "list").out


def test_a_mistake_in_a_client_is_told(run: Command, provider: OpenIdServer) -> None:
    refused = add_client(run, provider, "--tenant", "../x")

    assert refused.code == 2
    assert "tenant" in refused.err
    assert SECRET not in refused.err


def test_an_account_that_the_application_opens_needs_no_more(
    run: Command, concord: MemoryConcord, provider: OpenIdServer
) -> None:
    add_client(run, provider)
    words = ["--host", "mail.example.com", "--user", "alice@example.com", "--auth", "oauth2-app"]

    added = run("account", "add", "alice", *words, "--oauth-client", "main")

    assert added.code == 0
    assert concord.accounts.get("alice").auth is AuthKind.OAUTH2_APP
    assert concord.tokens.token(concord.accounts.get("alice")) in provider.access
    assert run("account", "show", "alice", "--json").json["password"] == "none"
    assert "oauth2-app" in run("account", "show", "alice").out


def test_an_account_for_a_sign_in_says_how(run: Command, provider: OpenIdServer) -> None:
    add_client(run, provider)
    words = ["--host", "mail.example.com", "--user", "alice@example.com", "--auth", "oauth2"]

    added = run("account", "add", "alice", *words, "--oauth-client", "main")

    assert "concord oauth login alice" in added.out


def test_app_only_is_tried_at_once(run: Command, concord: MemoryConcord, provider: OpenIdServer) -> None:
    add_client(run, provider)
    words = ["--host", "mail.example.com", "--user", "alice@example.com", "--auth", "oauth2"]
    run("account", "add", "alice", *words, "--oauth-client", "main")
    provider.misdeeds.add(Misdeed.BAD_SECRET)

    refused = run("oauth", "login", "alice", "--app-only")
    provider.misdeeds.clear()
    done = run("oauth", "login", "alice", "--app-only")

    assert (refused.code, done.code) == (1, 0)
    assert "Make a new secret" in refused.err
    assert concord.accounts.get("alice").auth is AuthKind.OAUTH2_APP


def test_a_file_says_auth_and_client(
    run: Command, concord: MemoryConcord, provider: OpenIdServer, tmp_path: Path
) -> None:
    add_client(run, provider)
    file = tmp_path / "wanted.toml"
    file.write_text(
        '[[accounts]]\nname = "alice"\nhost = "mail.example.com"\nuser = "alice@example.com"\n'
        'auth = "oauth2-app"\noauth_client = "main"\n',
        encoding="utf-8",
    )

    first, second = run("apply", str(file), "--json"), run("apply", str(file), "--json")

    assert (first.code, len(first.json["changes"])) == (0, 1)
    assert second.json["changes"] == []
    assert concord.accounts.get("alice").oauth_client == "main"


def test_a_file_that_names_a_client_that_is_not_there_changes_nothing(
    run: Command, concord: MemoryConcord, tmp_path: Path
) -> None:
    file = tmp_path / "wanted.toml"
    file.write_text(
        '[[accounts]]\nname = "alice"\nhost = "h.example"\nuser = "u"\nauth = "oauth2-app"\noauth_client = "no"\n',
        encoding="utf-8",
    )

    refused = run("apply", str(file))

    assert refused.code == 2
    assert "no such OAuth2 client" in refused.err
    assert concord.accounts.all() == []


def test_many_accounts_of_an_organisation_come_from_a_table(
    run: Command, concord: MemoryConcord, provider: OpenIdServer, tmp_path: Path
) -> None:
    add_client(run, provider)
    rows = [f"box{n},mail.example.com,box{n}@example.com,oauth2-app,main" for n in range(20)]
    file = tmp_path / "many.csv"
    file.write_text("name,host,user,auth,oauth_client\n" + "\n".join(rows), encoding="utf-8")

    assert run("account", "import", str(file)).code == 0
    assert {one.auth for one in concord.accounts.all()} == {AuthKind.OAUTH2_APP}
    assert len(concord.accounts.all()) == 20


def test_a_sign_in_at_the_shell_takes_the_browsers_last_address(provider: OpenIdServer, tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    environment = {
        **os.environ,
        "CONCORD_CREDENTIALS": str(tmp_path / "credentials"),
        "CONCORD_DATABASE__URL": f"sqlite:///{tmp_path}/concord.db",
        "CONCORD_SECRET_KEY": Fernet.generate_key().decode(),
        "CONCORD_REDIS__URL": "redis://127.0.0.1:1/0",
        "CONCORD_OAUTH__ALLOW_NETWORKS": '["127.0.0.0/8", "::1/128"]',
        "CONCORD_OAUTH__CA_FILE": str(provider.ca_file),
    }

    def concord(*words: str, stdin: str = "") -> str:
        command = [sys.executable, "-m", "concord", *words]
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=True)
        assert SECRET not in done.stdout + done.stderr
        return done.stdout

    concord("db", "upgrade")
    words = ["--provider", "other", "--client-id", "concord", "--issuer", provider.issuer, "--secret-stdin"]
    concord("oauth", "client", "add", "main", *words, stdin=SECRET)
    words = ["--host", "h.example", "--user", "alice@example.com", "--auth", "oauth2", "--oauth-client", "main"]
    concord("account", "add", "alice", *words)
    command = [sys.executable, "-u", "-m", "concord", "oauth", "login", "alice"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as login:
        assert login.stdout is not None
        url = next(line.strip() for line in login.stdout if line.startswith("https://"))
        back = visit(provider, url)
        out, err = login.communicate(f"{CALLBACK}?{urlencode(back)}\n", timeout=60)

    assert login.returncode == 0, err
    assert "logs in with the OAuth2 client 'main'" in out
    assert not [token for token in (*provider.access, *provider.refresh) if token in out + err]


def test_what_is_pasted_must_be_the_address(run: Command, concord: MemoryConcord, provider: OpenIdServer) -> None:
    oauth_clients.save(concord, replace(client_at(provider), secret=b""), secret=SECRET, replacing=False, by=SHELL)
    words = ["--host", "h.example", "--user", "alice@example.com", "--auth", "oauth2", "--oauth-client", "main"]
    run("account", "add", "alice", *words)

    refused = run("oauth", "login", "alice", stdin="https://localhost/\n")
    declined = run("oauth", "login", "alice", stdin=f"{CALLBACK}?error=access_denied&state=x\n")

    assert (refused.code, declined.code) == (2, 2)
    assert "not the address" in refused.err
    assert "not under way" in declined.err
