"""Which supervisor has the daemons, on a machine that has neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.adapters import systemd
from concord.adapters.supervisord import SupervisordSupervisor
from concord.adapters.supervisors import find_supervisor
from concord.errors import SupervisorDownError, SupervisorRefusedError
from concord.settings import ServiceSettings
from concord.wording import english


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody asks the systemd of the machine that tests."""
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "absent")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")


@pytest.mark.parametrize("named", ["systemd", "supervisord"])
def test_the_settings_decide(named: str, tmp_path: Path) -> None:
    """M1."""
    settings = ServiceSettings.model_validate({"supervisor": named, "run_directory": tmp_path})

    assert find_supervisor(settings, list).kind == named


def test_neither_is_told_with_the_cause_of_each(tmp_path: Path) -> None:
    with pytest.raises(SupervisorDownError) as caught:
        find_supervisor(ServiceSettings(run_directory=tmp_path), list)

    told = english.explain(caught.value)
    assert "systemd=it does not run this machine" in told
    assert f"supervisord=no answer on {tmp_path}/supervisor.sock: No such file or directory" in told


def test_systemd_whose_bus_is_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)

    with pytest.raises(SupervisorDownError) as caught:
        find_supervisor(ServiceSettings(run_directory=tmp_path), list)

    assert "The system's D-Bus did not answer" in english.explain(caught.value)


def test_supervisord_that_refuses_this_user_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: SupervisordSupervisor) -> None:
        raise SupervisorRefusedError("supervisord")

    monkeypatch.setattr(SupervisordSupervisor, "check", refuse)

    assert find_supervisor(ServiceSettings(run_directory=tmp_path), list).kind == "supervisord"


def test_reload_is_free_where_systemd_does_not_run() -> None:
    systemd.reload()
