"""The kinds of workflow steps (P9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.errors import HandlerRefusedError, UsageError
from concord.handlers import WorkflowSteps
from concord.wording import english
from tests.fakes.handlers import SentTasks, make_event, make_tools
from tests.unit.handlers.installed import install

PACKAGE = "tests.unit.handlers.plugin_package"
OUTPUTS = {"ticket": {"number": 7}}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name: f"{PACKAGE}:{name}" for name in ("count", "silent", "babbling")}
    install(tmp_path, monkeypatch, {"concord.workflows": names | {"absent": "acme_mail_missing:step"}})


def test_a_celery_step_hands_on_event_and_outputs() -> None:
    broker, event = SentTasks(), make_event()
    step = WorkflowSteps(make_tools(send_task=broker)).get("celery")

    output = step.run(event, OUTPUTS, {"task": "crm.take", "queue": "crm"}, key="step-1")

    assert broker.sent == [("crm.take", [event, OUTPUTS], "crm", "step-1")]
    assert output == {"task": "crm.take", "queue": "crm", "task_id": "step-1"}


def test_a_packages_function_is_a_step(acme: None) -> None:
    output = WorkflowSteps(make_tools()).get("count").run(make_event(), OUTPUTS, {}, key="step-1")

    assert output == {"steps_before": 1, "key": "step-1", "subject": "An order"}


def test_a_step_that_says_nothing_has_no_output(acme: None) -> None:
    assert WorkflowSteps(make_tools()).get("silent").run(make_event(), {}, {}, key="k") == {}


def test_an_output_that_cannot_be_kept_fails_the_run(acme: None) -> None:
    with pytest.raises(HandlerRefusedError, match="cannot be kept"):
        WorkflowSteps(make_tools()).get("babbling").run(make_event(), {}, {}, key="k")


def test_a_broken_package_is_named(acme: None) -> None:
    with pytest.raises(HandlerRefusedError) as caught:
        WorkflowSteps(make_tools()).get("absent")

    assert caught.value.facts["distribution"] == "acme-mail"


def test_an_unknown_kind_is_refused_with_a_guess() -> None:
    with pytest.raises(HandlerRefusedError) as caught:
        WorkflowSteps(make_tools()).get("webhoook")

    assert english.remedy(caught.value) == "Did you mean 'webhook'?"


def test_the_check_refuses_before_anything_is_kept() -> None:
    with pytest.raises(UsageError, match="no such kind"):
        WorkflowSteps.check("log", {})
    with pytest.raises(UsageError, match="option is missing"):
        WorkflowSteps.check("webhook", {})

    WorkflowSteps.check("celery", {"task": "crm.take", "queue": "crm"})
