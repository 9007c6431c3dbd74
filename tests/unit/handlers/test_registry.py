"""Finding and making handlers (P8)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from concord.errors import HandlerRefusedError, SecretMovedError, UsageError
from concord.handlers import Handlers
from concord.handlers.log import LogHandler
from concord.model.binding import of_handler
from concord.model.rule import HandlerSpec
from concord.pipeline.retry import next_try
from concord.settings import DispatchSettings
from concord.wording import english
from tests.fakes.handlers import NOW, make_tools, sealed
from tests.fakes.vault import NullVault
from tests.unit.handlers.installed import install
from tests.unit.handlers.plugin_package import Kept

PACKAGE = "tests.unit.handlers.plugin_package"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = HandlerSpec(name="hook", kind="webhook", options={"url": "https://hooks.example.com/"}, secret=sealed(SECRET))


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"crm": "make", "fails": "fail", "choosy": "choosy", "nothing": "make_nothing", "number": "NOT_CALLABLE"}
    points = {name: f"{PACKAGE}:{attribute}" for name, attribute in names.items()}
    points |= {"absent": "acme_mail_missing:make", "typo": f"{PACKAGE}:mkae", "log": f"{PACKAGE}:fail"}
    install(tmp_path, monkeypatch, {"concord.handlers": points})


def test_every_built_in_kind_can_be_made() -> None:
    handlers = Handlers(make_tools())
    options: dict[str, dict[str, Any]] = {
        "webhook": {"url": "https://hooks.example.com/"},
        "celery": {"task": "crm.take", "queue": "crm"},
    }

    for kind in ("log", "webhook", "redis-stream", "celery"):
        assert kind in handlers.kinds()
        assert callable(handlers.get(HandlerSpec(name=kind, kind=kind, options=options.get(kind, {}))).deliver)


def test_a_handler_is_made_once_until_it_changes() -> None:
    handlers = Handlers(make_tools())

    first = handlers.get(HOOK)
    again = handlers.get(replace(HOOK))
    changed = handlers.get(replace(HOOK, options={"url": "https://other.example.com/"}))

    assert first is again
    assert changed is not first


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (HandlerSpec(name="x", kind="webhok"), "Did you mean 'webhook'?"),
        (HandlerSpec(name="x", kind="smoke-signal"), "The kinds are log, webhook, redis-stream, celery"),
        (HandlerSpec(name="x", kind="webhook"), "Give 'url'"),
        (HandlerSpec(name="x", kind="log", options={"level": "info"}), "'log' takes no options"),
        (HandlerSpec(name="x", kind="redis-stream", options={"max_len": 5}), "Did you mean 'maxlen'?"),
        (replace(HOOK, name="x", secret=sealed("whsec_short")), "whsec_"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(spec: HandlerSpec, said: str) -> None:
    with pytest.raises(HandlerRefusedError) as caught:
        Handlers(make_tools()).get(spec)

    assert said in english.explain(caught.value)
    assert "handler=x" in english.explain(caught.value)
    assert "short" not in english.explain(caught.value)


def test_the_check_refuses_before_anything_is_kept() -> None:
    with pytest.raises(UsageError, match="no use for a secret"):
        Handlers.check("log", {}, has_secret=True)
    with pytest.raises(UsageError, match="no such kind"):
        Handlers.check("webhok", {}, has_secret=False)
    with pytest.raises(UsageError, match="no such option"):
        Handlers.check("celery", {"task": "a", "queue": "b", "topic": "c"}, has_secret=False)
    with pytest.raises(UsageError, match="secret cannot be used"):
        Handlers.check_secret("webhook", "hunter2")

    Handlers.check("webhook", {"url": "https://hooks.example.com/"}, has_secret=True)
    Handlers.check_secret("webhook", SECRET)


def test_a_package_brings_its_own_kind(acme: None) -> None:
    handlers = Handlers(make_tools())

    made = handlers.get(HandlerSpec(name="x", kind="crm", options={"team": "sales"}, secret=sealed("hunter2")))

    assert "crm" in handlers.kinds()
    assert isinstance(made, Kept)
    assert made.options == {"team": "sales", "secret": "hunter2"}
    handlers.check("crm", {}, has_secret=True)


def test_a_package_does_not_replace_a_built_in_kind(acme: None) -> None:
    assert isinstance(Handlers(make_tools()).get(HandlerSpec(name="x", kind="log")), LogHandler)
    assert Handlers.kinds().count("log") == 1


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("absent", "ModuleNotFoundError"),
        ("typo", "mkae"),
        ("number", "not callable"),
        ("fails", "RuntimeError: no licence"),
        ("nothing", "'deliver'"),
    ],
)
def test_a_broken_package_is_named_and_stops_nothing_else(acme: None, kind: str, cause: str) -> None:
    handlers = Handlers(make_tools())

    with pytest.raises(HandlerRefusedError) as caught:
        handlers.get(HandlerSpec(name="x", kind=kind))

    assert caught.value.facts["distribution"] == "acme-mail"
    assert cause in english.explain(caught.value)
    assert isinstance(handlers.get(HandlerSpec(name="fine", kind="log")), LogHandler)


def test_a_packages_own_refusal_keeps_its_words(acme: None) -> None:
    with pytest.raises(HandlerRefusedError, match="An option is missing") as caught:
        Handlers(make_tools()).get(HandlerSpec(name="x", kind="choosy"))

    assert caught.value.facts == {"handler": "x", "option": "colour"}


def test_moved_secret_holds_deliveries_and_ends_none() -> None:
    """A3: tampering with the database must not end deliveries."""
    vault = NullVault()
    moved = replace(HOOK, secret=vault.seal(SECRET, of_handler(replace(HOOK, kind="celery"))))

    with pytest.raises(SecretMovedError) as caught:
        Handlers(replace(make_tools(), unseal=vault.unseal)).get(moved)

    again = next_try(caught.value, failures=99, settings=DispatchSettings(), now=NOW)
    assert again is not None
    assert not again.counts
