"""Live parts: what changed is sent, silence is broken before a proxy minds it, and nothing goes on for ever."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from concord.errors import QueueDownError
from concord.web import live

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Viewer:
    """A browser that goes after so many looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    async def is_disconnected(self) -> bool:
        self.left -= 1
        return self.left < 0


async def events(
    monkeypatch: pytest.MonkeyPatch, answers: list[Mapping[str, str] | Exception], **knobs: float
) -> list[str]:
    for name, value in knobs.items():
        monkeypatch.setattr(live, name, value)
    waiting = iter(answers)

    async def parts() -> Mapping[str, str]:
        answer = next(waiting)
        if isinstance(answer, Exception):
            raise answer
        return answer

    viewer: Any = Viewer(len(answers))
    response = live.stream(viewer, parts, every=0.001)
    assert response.media_type == "text/event-stream"
    return [str(chunk) async for chunk in response.body_iterator][1:]


async def test_only_what_changed_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await events(
        monkeypatch,
        [
            {"a": "<p id=a>1", "b": "<p id=b>1"},
            {"a": "<p id=a>1", "b": "<p id=b>1"},
            {"a": "<p id=a>1", "b": "<p id=b>2"},
        ],
    )

    assert sent == ["data: <p id=a>1<p id=b>1\n\n", "data: <p id=b>2\n\n"]


async def test_lines_of_one_part_stay_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await events(monkeypatch, [{"a": "<p id=a>\n\n1\n</p>"}])

    assert sent == ["data: <p id=a>\ndata: 1\ndata: </p>\n\n"]


async def test_long_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    same = {"a": "<p id=a>1"}

    assert await events(monkeypatch, [same, same], _BEAT_SECONDS=-1.0) == ["data: <p id=a>1\n\n", ":\n\n"]


async def test_what_cannot_be_asked_just_now_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await events(monkeypatch, [QueueDownError("no_answer"), {"a": "<p id=a>1"}])

    assert sent == ["data: <p id=a>1\n\n"]


async def test_service_that_ends_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    ending.set()
    monkeypatch.setattr(live, "_ending", ending)

    await live.pause(60)

    assert await events(monkeypatch, [{"a": "1"}] * 5) == []


async def test_stream_ends_so_that_the_browser_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await events(monkeypatch, [{"a": "1"}] * 5, _LONGEST_SECONDS=-1.0) == []
