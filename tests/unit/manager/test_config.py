"""A worker's JSON file: what may stand in it (M6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from concord.errors import MistakesError, SettingsError, UsageError
from concord.manager.config import (
    WorkerDocument,
    check_form,
    json_schema,
    poll_interval,
    read,
    read_form,
    refuse_bad_name,
    resolve,
)
from concord.model.worker import WorkerConfig, WorkerType
from concord.settings import ProcessPoolSettings, WorkerSettings
from concord.wording import english

FILE = "/etc/concord/workers/extra.json"
SETTINGS = WorkerSettings(mail=ProcessPoolSettings(concurrency=7))


def config(text: str, instance: str = "extra") -> WorkerConfig:
    return resolve(instance, read(text, file=FILE), SETTINGS, file=FILE)


def test_what_a_file_leaves_out_is_as_concord_toml_has_it() -> None:
    found = config('{"type": "mail", "prefetch": 3}')

    assert (found.type, found.prefetch, found.concurrency) == (WorkerType.MAIL, 3, 7)
    assert found.max_tasks_per_child == SETTINGS.mail.max_tasks_per_child


def test_poll_and_mail_need_no_file() -> None:
    found = resolve("poll", WorkerDocument(), SETTINGS, file=FILE)

    assert (found.type, found.concurrency) == (WorkerType.POLL, SETTINGS.poll.concurrency)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1, column 2"),
        ("[]", "(the whole)"),
        ('{"type": "mail", "concurency": 4}', "Did you mean 'concurrency'?"),
        ('{"type": "mail", "concurrency": 0}', "concurrency"),
        ('{"type": "mail", "concurrency": "many"}', "concurrency"),
        ('{"type": "mail", "max_memory_per_child": 1}', "max_memory_per_child"),
        ('{"type": "smtp"}', "type"),
        ("{}", '"type": "mail", "type": "poll" or "type": "deliver"'),
        ('{"type": "mail", "poll_interval": 30}', "Only poll workers"),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_and_remedy(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        config(text)

    assert said in english.explain(caught.value)
    assert FILE in english.explain(caught.value)
    assert english.remedy(caught.value)


def test_a_built_in_worker_cannot_be_of_the_other_type() -> None:
    with pytest.raises(SettingsError, match="of the type that their name says"):
        config('{"type": "poll"}', "mail")


@pytest.mark.parametrize("name", ["", "Extra", "a-b", "../mail", "mail.service", "1st", "a" * 32, "é", "x\n"])
def test_a_name_fits_unit_program_and_node_alike(name: str) -> None:
    with pytest.raises(UsageError):
        refuse_bad_name(name)


@pytest.mark.parametrize(("own", "expected"), [([], 60), ([None, 30], 30), ([90, 45], 45), ([120], 120)])
def test_the_shortest_interval_of_the_poll_workers_counts(own: list[int | None], expected: int) -> None:
    """P1."""
    configs = [resolve("poll", WorkerDocument(poll_interval=one), SETTINGS, file=FILE) for one in own]

    assert poll_interval(configs, 60) == expected


@pytest.mark.parametrize(
    ("document", "fits"),
    [({"type": "mail", "concurrency": 4}, True), ({}, True), ({"concurrency": 0}, False), ({"unknown": 1}, False)],
)
def test_the_published_schema_says_the_same_as_the_code(document: dict[str, Any], fits: bool) -> None:  # noqa: FBT001 - a case's answer
    assert Draft202012Validator(json_schema()).is_valid(document) is fits
    if fits:
        read(json.dumps(document), file=FILE)


def mistakes(text: str, instance: str = "extra") -> dict[tuple[str | int, ...], str]:
    """What a form says of it, by place."""
    with pytest.raises(MistakesError) as caught:
        read_form(text, instance, SETTINGS)
    return {mistake.path: english.explain(mistake.error) for mistake in caught.value.mistakes}


def test_every_mistake_of_a_form_is_told_at_its_field() -> None:
    """M6."""
    said = mistakes('{"type": "mail", "concurency": 4, "prefetch": 0, "max_memory_per_child": "much"}')

    assert said == {
        ("concurency",): "There is no such key. Did you mean 'concurrency'?",
        ("prefetch",): "This number is too small (least=1)",
        ("max_memory_per_child",): "This must be a whole number",
    }


@pytest.mark.parametrize(
    ("text", "instance", "path", "said"),
    [
        ("{", "extra", (), "line 1, column 2"),
        ("[]", "extra", (), "one JSON object"),
        ("{}", "extra", ("type",), "does not say its type"),
        ('{"type": "smtp"}', "extra", ("type",), "poll', 'mail' or 'deliver'"),
        ('{"type": "poll"}', "mail", ("type",), "type that their name says"),
        ('{"type": "mail", "poll_interval": 30}', "extra", ("poll_interval",), "Only poll workers"),
        ('{"poll_interval": 30}', "mail", ("poll_interval",), "Only poll workers"),
        ('{"poll_interval": 1e99}', "poll", ("poll_interval",), "cannot be used"),
    ],
)
def test_what_fits_no_field_is_told_all_the_same(text: str, instance: str, path: tuple[str, ...], said: str) -> None:
    """M6."""
    found = mistakes(text, instance)

    assert list(found) == [path]
    assert said in found[path]


def test_a_form_without_mistakes_is_the_document() -> None:
    document = check_form({"type": "mail", "concurrency": 3}, "extra", SETTINGS)

    assert document.concurrency == 3
