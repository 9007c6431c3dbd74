"""The log handler."""

from __future__ import annotations

from structlog.testing import capture_logs

from concord.handlers.log import LogHandler
from tests.fakes.handlers import make_consignment


def test_an_event_is_one_line_without_its_text() -> None:
    with capture_logs() as lines:
        LogHandler().deliver(make_consignment())

    (line,) = lines
    assert line["event"] == "event.received"
    assert line["account"] == "sales"
    assert line["sender"] == ["alice@example.com"]
    assert line["subject"] == "An order"
    assert "Twelve" not in str(line)
