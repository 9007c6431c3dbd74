"""Certificate authorities from pages and the API: by name from root's folder, or pasted; never by a path (A6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.errors import ConcordError, UsageError
from concord.model.account import Account, Mailbox
from concord.model.caller import Caller
from concord.services import accounts, authorities, importing
from concord.wording import english
from tests.factories import sealed_in
from tests.fakes.command import MemoryConcord
from tests.servers.certificates import authority_pem

FAR = Caller(actor="olga", via="api")
SHELL = Caller(actor="root")
PEM = authority_pem()
NEW: dict[str, Any] = {"name": "ann", "host": "mail.example.org", "user": "ann"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Root's, with one authority, and what lies beside it."""
    made = tmp_path / "authorities"
    made.mkdir()
    (made / "corp.pem").write_text(PEM, encoding="ascii")
    (made / "notes.txt").write_text("x", encoding="ascii")
    (made / "old.pem").mkdir()
    (tmp_path / "there.pem").write_text(PEM, encoding="ascii")
    return made


@pytest.fixture
def parts(folder: Path) -> MemoryConcord:
    """One account is there: bob."""
    made = MemoryConcord()
    poll = made.settings.poll.model_copy(update={"authorities": folder})
    made.settings = made.settings.model_copy(update={"poll": poll})
    bob = Account(name="bob", host="mail.example.org", user="bob")
    made.accounts.add(sealed_in(made.vault, bob, "sesame"))
    return made


def ways(parts: MemoryConcord, said: dict[str, Any]) -> list[ConcordError]:
    """What a form for a new mailbox, a form for a change, the change itself and a list say of it."""
    bob = parts.accounts.get("bob")
    found = [mistake.error for mistake in accounts.read_form(parts, NEW | said)[1]]
    found += [mistake.error for mistake in accounts.read_form(parts, said, bob)[1]]
    with pytest.raises(UsageError) as caught:
        accounts.edit(parts, "bob", said, password="sesame", by=FAR)
    lines = "".join(f'{key} = "{value}"\n' for key, value in (NEW | {"password": "x"} | said).items())
    (row,) = importing.plan(parts, f"[[accounts]]\n{lines}")
    assert row.error is not None
    return [*found, caught.value, row.error]


@pytest.mark.parametrize("path", ["there.pem", "missing.pem", "authorities/corp.pem", "authorities/../there.pem", ""])
def test_path_is_refused_from_afar_and_nothing_is_said_of_the_file(
    parts: MemoryConcord, tmp_path: Path, path: str
) -> None:
    refusals = ways(parts, {"ca_file": str(tmp_path / path)})

    assert {one.situation for one in refusals} == {"usage.ca_file_from_afar"}
    assert len({english.explain(one).replace("ann", "bob") for one in refusals}) <= 2  # with the name, and without
    assert not any(str(tmp_path) in english.explain(one) for one in refusals)


@pytest.mark.parametrize(
    "name", ["there", "../there", "/etc/ssl/certs/ca-certificates", "corp.pem", "notes", "old", "*", "CORP"]
)
def test_only_files_of_the_folder_have_names(parts: MemoryConcord, name: str) -> None:
    refusals = ways(parts, {"authority": name})

    assert {one.situation for one in refusals} == {"usage.authority_unknown"}


def test_authority_is_chosen_by_name(parts: MemoryConcord, folder: Path) -> None:
    done = accounts.edit(parts, "bob", {"authority": "corp"}, password="sesame", by=FAR).account

    assert done.ca_file == str(folder / "corp.pem")
    assert authorities.names(parts) == ["corp"]
    assert authorities.name_of(parts, done) == "corp"


@pytest.mark.parametrize("none", [{"authority": None}, {"ca_file": None}, {"ca_file": ""}])
@pytest.mark.parametrize("before", [{"authority": "corp"}, {"ca_pem": PEM}])
def test_authority_is_taken_away_again(parts: MemoryConcord, before: dict[str, Any], none: dict[str, Any]) -> None:
    accounts.edit(parts, "bob", before, password="sesame", by=FAR)

    done = accounts.edit(parts, "bob", none, password="sesame", by=FAR).account

    assert (done.ca_file, done.ca_pem) == (None, None)


def test_path_that_was_named_at_a_shell_goes_on(parts: MemoryConcord, tmp_path: Path) -> None:
    path = str(tmp_path / "there.pem")
    accounts.edit(parts, "bob", {"ca_file": path}, password="sesame", by=SHELL)

    done = accounts.edit(parts, "bob", {"ca_file": path, "interval": 90}, by=FAR).account

    assert (done.ca_file, done.interval) == (path, 90)


@pytest.mark.parametrize("said", [{"authority": "corp"}, {"ca_pem": PEM}])
def test_another_authority_needs_the_password(parts: MemoryConcord, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="The password is for the server"):
        accounts.edit(parts, "bob", said, mailbox=Mailbox.SAME, by=FAR)

    mistakes = accounts.secret_mistakes(
        accounts.read_form(parts, said, parts.accounts.get("bob"))[0], None, parts.accounts.get("bob")
    )
    assert [mistake.path for mistake in mistakes] == [("password",)]


def test_certificates_are_kept_alone(parts: MemoryConcord) -> None:
    """A key that was pasted along is nowhere afterwards."""
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"

    done = accounts.edit(parts, "bob", {"ca_pem": f"Corp\n{key}{PEM}"}, password="sesame", by=FAR).account

    assert done.ca_pem == PEM.strip()
    assert "PRIVATE" not in str(parts.audit.entries())


@pytest.mark.parametrize(
    "pem",
    [
        "nothing",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
        "/etc/ssl/certs/ca-certificates.crt",
        "\u5bc6",
        PEM * 200,
    ],
    ids=["text", "damaged", "key", "path", "no ASCII", "too long"],
)
def test_what_is_no_certificate_is_refused_without_being_repeated(parts: MemoryConcord, pem: str) -> None:
    _, mistakes = accounts.read_form(parts, NEW | {"ca_pem": pem})

    (refused,) = [mistake.error for mistake in mistakes]
    assert refused.situation == "usage.ca_pem"
    assert pem not in english.explain(refused)


@pytest.mark.parametrize("said", [{"authority": "corp", "ca_pem": PEM}, {"ca_pem": PEM, "tls": "none"}])
def test_what_contradicts_itself_is_refused(parts: MemoryConcord, said: dict[str, Any]) -> None:
    _, mistakes = accounts.read_form(parts, NEW | said)

    assert [mistake.path for mistake in mistakes] == [("ca_pem",)]
