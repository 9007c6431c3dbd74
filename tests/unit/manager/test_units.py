"""The allow-list, said to the manager and to polkit alike."""

from __future__ import annotations

import re

import pytest

from concord.errors import UnknownDaemonError
from concord.manager.units import chosen, members, polkit_rule, selectors
from concord.wording import english

INSTANCES = ["poll", "mail", "deliver", "extra"]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (None, ["beat", "worker@poll", "worker@mail", "worker@deliver", "worker@extra", "flower"]),
        ("worker", ["worker@poll", "worker@mail", "worker@deliver", "worker@extra"]),
        ("worker@extra", ["worker@extra"]),
        ("beat", ["beat"]),
        ("flower", ["flower"]),
        ("admin", ["admin"]),
    ],
)
def test_a_name_means_these_daemons(only: str | None, names: list[str]) -> None:
    """M3, M5."""
    assert chosen(only, INSTANCES) == names


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ssh",
        "ssh.service",
        "concord-beat.service",
        "worker@",
        "worker@evil",
        "worker@poll.service",
        "BEAT",
        "migrate",
    ],
)
def test_nothing_else_may_be_named(name: str) -> None:
    """M3."""
    with pytest.raises(UnknownDaemonError) as caught:
        chosen(name, INSTANCES)

    assert english.remedy(caught.value)


def test_a_misspelt_name_is_answered_with_the_likeliest() -> None:
    with pytest.raises(UnknownDaemonError) as caught:
        chosen("worker@mial", INSTANCES)

    assert english.remedy(caught.value) == "Did you mean 'worker@mail'?"


def test_the_admin_service_is_never_part_of_the_whole() -> None:
    """W2: it must be able to start the others again."""
    assert "admin" not in members(INSTANCES)


def test_every_selector_can_be_chosen() -> None:
    assert all(chosen(name, INSTANCES) for name in selectors(INSTANCES))


def test_polkit_is_told_exact_units_and_no_pattern() -> None:
    """M3, trap 57."""
    rule = polkit_rule(INSTANCES)

    units = re.findall(r'"([a-z@-]+\.(?:service|target))"', rule)

    assert sorted(units) == sorted(
        [
            "concord-celery.target",
            "concord-beat.service",
            "concord-worker@poll.service",
            "concord-worker@mail.service",
            "concord-worker@deliver.service",
            "concord-worker@extra.service",
            "concord-flower.service",
            "concord-admin.service",
            "concord-workers.service",
        ]
    )
    assert '"*"' not in rule
    assert rule.count("polkit.Result.YES") == 2


def test_what_makes_the_rule_anew_may_be_started_and_nothing_else() -> None:
    """M3: stopped in the middle, it would leave half of its work."""
    rule = polkit_rule(INSTANCES)

    assert 'if (unit === "concord-workers.service" && verb === "start") {' in rule
    assert "concord-workers" not in rule.partition("var units = [")[2].partition("];")[0]


def test_polkit_is_told_four_verbs_of_one_user() -> None:
    """Trap 57: kill, set-property, enable and reload stay refused."""
    rule = polkit_rule(INSTANCES)

    questions = rule.partition("var questions = {")[2].partition("};")[0]
    assert re.findall(r'^ +"([a-z-]+)": ', questions, re.MULTILINE) == ["start", "stop", "restart", "reset-failed"]
    assert 'action.id !== "org.freedesktop.systemd1.manage-units" || subject.user !== "concord"' in rule


def test_polkit_compares_the_question_before_it_allows_a_unit() -> None:
    """M3: StartTransientUnit brings its own command under a unit's name, with the verb "start" (systemd 257)."""
    rule = polkit_rule(INSTANCES)

    guard = rule.index('questions[verb] !== action.lookup("polkit.message")')
    assert guard < rule.index("polkit.Result.YES")
    assert "transient unit '$(unit)'" not in rule
