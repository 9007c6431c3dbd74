"""Handlers and workflows from forms; secrets made and changed; what the audit does not learn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.errors import ConflictError, NotFoundError, UsageError
from concord.handlers.signature import MOST_KEYS, Signer
from concord.model.binding import of_handler
from concord.model.caller import Caller
from concord.model.rule import HandlerSpec, WorkflowSpec, WorkflowStepSpec
from concord.services import handler_secrets, handlers, workflows
from concord.wording import english
from tests.fakes.command import MemoryConcord

BY = Caller(actor="olga", via="admin")
HOOK = HandlerSpec(
    name="crm", kind="webhook", options={"url": "https://hooks.example.com/T0/secret-path?key=sealed-in-the-url"}
)
PRIVATE = [
    "http://127.0.0.1/x",
    "http://localhost:6379/",
    "http://[::1]/",
    "http://169.254.169.254/",
    "http://10.0.0.1/",
]


@pytest.fixture
def parts() -> Iterator[MemoryConcord]:
    made = MemoryConcord()
    yield made
    made.engine.dispose()


def secret_of(parts: MemoryConcord) -> str:
    (spec,) = parts.rulebook.handlers()
    return parts.vault.unseal(spec.secret, of_handler(spec))


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_address_is_refused_at_the_field_with_the_remedy(parts: MemoryConcord, url: str) -> None:
    _, mistakes = handlers.read_form(parts, {"name": "x", "kind": "webhook", "options": {"url": url}})

    (mistake,) = mistakes
    assert mistake.path == ("options", "url")
    assert "webhook.allow_networks" in english.remedy(mistake.error)


@pytest.mark.parametrize("url", PRIVATE)
def test_nor_is_it_kept_by_any_other_way(parts: MemoryConcord, url: str) -> None:
    step = WorkflowStepSpec(name="one", kind="webhook", options={"url": url})

    with pytest.raises(UsageError, match="not allowed"):
        handlers.save(parts, HandlerSpec(name="x", kind="webhook", options={"url": url}), by=BY)
    with pytest.raises(UsageError, match="not allowed"):
        workflows.save(parts, WorkflowSpec(name="x", steps=(step,)), by=BY)

    assert parts.rulebook.handlers() == []
    assert parts.rulebook.workflows() == []


def test_a_form_has_all_mistakes_at_once(parts: MemoryConcord) -> None:
    document = {"name": "", "kind": "webhook", "options": {"timeout": 500, "colour": "red"}, "enabled": "yes"}

    _, mistakes = handlers.read_form(parts, document, secret="whsec_short")

    assert {mistake.path for mistake in mistakes} == {
        ("name",),
        ("enabled",),
        ("options", "url"),
        ("options", "timeout"),
        ("options", "colour"),
        ("secret",),
    }
    assert "whsec_short" not in repr(mistakes)


@pytest.mark.parametrize(
    ("document", "secret", "path"),
    [
        ({"name": "x"}, None, ("kind",)),
        ({"name": "x", "kind": "fax"}, None, ("kind",)),
        ({"name": "x", "kind": "log"}, "anything", ("secret",)),
        ({"name": "x", "kind": "celery", "options": {"task": "t", "queue": "email"}}, None, ("options", "queue")),
        ({"name": "x", "kind": "webhook", "options": {"url": "ftp://x"}}, None, ("options", "url")),
        ({"name": "x", "kind": "log", "options": 5}, None, ("options",)),
    ],
)
def test_each_mistake_has_its_field(
    parts: MemoryConcord, document: dict[str, object], secret: str | None, path: tuple[str, ...]
) -> None:
    _, mistakes = handlers.read_form(parts, document, secret=secret)

    assert [mistake.path for mistake in mistakes] == [path]


def test_a_workflows_mistakes_have_their_step(parts: MemoryConcord) -> None:
    steps = [
        {"name": "a", "kind": "webhook", "options": {"url": "http://127.0.0.1/"}},
        {"name": "a", "kind": "fax"},
        {"name": "c", "kind": "celery", "options": {"task": "t"}},
        {"kind": "celery", "options": {"task": "t", "queue": "q"}},
    ]

    _, mistakes = workflows.read_form(parts, {"name": "w", "steps": steps})

    assert {mistake.path for mistake in mistakes} == {
        ("steps", 0, "options", "url"),
        ("steps", 1, "name"),
        ("steps", 1, "kind"),
        ("steps", 2, "options", "queue"),
        ("steps", 3, "name"),
    }


def test_secrets_are_made_changed_without_a_gap_and_forgotten(parts: MemoryConcord) -> None:
    handlers.save(parts, HOOK, by=BY)

    first = handler_secrets.make(parts, "crm", keep=False, by=BY)
    second = handler_secrets.make(parts, "crm", keep=True, by=BY)

    assert secret_of(parts) == f"{second} {first}"
    assert len(Signer.parse(secret_of(parts)).keys) == 2
    assert handler_secrets.amount(parts, parts.rulebook.handlers()[0]) == 2
    handler_secrets.forget_old(parts, "crm", by=BY)
    assert secret_of(parts) == second


def test_the_oldest_secret_goes_where_there_are_too_many(parts: MemoryConcord) -> None:
    handlers.save(parts, HOOK, by=BY)

    made = [handler_secrets.make(parts, "crm", keep=True, by=BY) for _ in range(MOST_KEYS + 1)]

    assert secret_of(parts).split() == made[:0:-1]


def test_what_takes_no_secret_gets_none(parts: MemoryConcord) -> None:
    handlers.save(parts, HandlerSpec(name="lines", kind="log"), by=BY)

    with pytest.raises(UsageError, match="no use for a secret"):
        handler_secrets.make(parts, "lines", keep=False, by=BY)
    with pytest.raises(NotFoundError):
        handler_secrets.make(parts, "nobody", keep=False, by=BY)


def test_the_audit_learns_no_secret_and_no_token_in_a_url(parts: MemoryConcord) -> None:
    handlers.save(parts, HOOK, by=BY)
    options = {"url": "https://hooks.example.com/T1/other-path", "headers": {"Authorization": "Bearer hunter2"}}
    handlers.save(parts, HandlerSpec(name="crm", kind="webhook", options=options), replacing=True, by=BY)
    step = WorkflowStepSpec(name="one", kind="webhook", options=options)
    workflows.save(parts, WorkflowSpec(name="w", steps=(step,)), by=BY)
    secret = handler_secrets.make(parts, "crm", keep=False, by=BY)

    told = repr(parts.audit.entries())

    assert "https://hooks.example.com/…" in told
    assert "options" in told
    for hidden in ("secret-path", "other-path", "hunter2", "sealed-in-the-url", secret):
        assert hidden not in told


def written(**options: object) -> dict[str, object]:
    return {"name": "crm", "kind": "webhook", "options": {"url": "https://hooks.example.com/T0", **options}}


KEPT = HandlerSpec(
    name="crm", kind="webhook", options={"url": "https://hooks.example.com/T0", "headers": {"X-Key": "open-sesame"}}
)


def test_what_a_form_does_not_show_of_a_header_stays(parts: MemoryConcord) -> None:
    spec, mistakes = handlers.read_form(parts, written(headers={"X-Key": "…", "X-Team": "sales"}), before=KEPT)

    assert mistakes == []
    assert spec.options["headers"] == {"X-Key": "open-sesame", "X-Team": "sales"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (written(headers={"X-Other": "…"}), "has no value"),
        (written(headers={"X-Key": "…"}, url="https://elsewhere.example.com/T0"), "another one"),
        (written(headers={"X-Key": "…"}, url="http://hooks.example.com/T0"), "another one"),
        (written(headers={"X-Key": "…"}, url="https://hooks.example.com:8443/T0"), "another one"),
    ],
)
def test_a_hidden_header_goes_to_no_other_receiver(
    parts: MemoryConcord, document: dict[str, object], said: str
) -> None:
    spec, mistakes = handlers.read_form(parts, document, before=KEPT)

    assert [(one.path, said in str(one.error)) for one in mistakes] == [(("options", "headers"), True)]
    assert "open-sesame" not in repr(spec)


def test_a_step_that_is_renamed_keeps_its_hidden_headers(parts: MemoryConcord) -> None:
    before = WorkflowSpec(name="flow", steps=(WorkflowStepSpec(name="one", kind="webhook", options=KEPT.options),))
    step = {**written(headers={"X-Key": "…"}), "name": "two"}

    spec, mistakes = workflows.read_form(parts, {"name": "flow", "steps": [step]}, before=before, were=["one"])
    _, refused = workflows.read_form(parts, {"name": "flow", "steps": [step]}, before=before)

    assert mistakes == []
    assert spec.steps[0].options["headers"] == {"X-Key": "open-sesame"}
    assert [one.path for one in refused] == [("steps", 0, "options", "headers")]


def test_what_is_built_in_cannot_be_removed_but_a_changed_one_goes_back(parts: MemoryConcord) -> None:
    with pytest.raises(ConflictError, match="built in"):
        handlers.remove(parts, "log", by=BY)

    handlers.switch(parts, "log", enabled=False, by=BY)
    handlers.remove(parts, "log", by=BY)

    assert handlers.find(parts, "log").enabled


@pytest.mark.parametrize("name", [".", ".."])
def test_no_name_is_one_that_browsers_take_out_of_an_address(parts: MemoryConcord, name: str) -> None:
    _, mistakes = handlers.read_form(parts, {"name": name, "kind": "log"})

    assert [one.path for one in mistakes] == [("name",)]
