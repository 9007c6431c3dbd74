"""From a log record to the journal's fields, and the handler that hands them over."""

from __future__ import annotations

import json
import logging
import re
import select
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

from concord.log.hiding import without_logins
from concord.log.journal import Journal, Receipt

IDENTIFIER: Final = "concord"
_PLACE: Final = "concord_facts"
# syslog(3): debug, informational, warning, error, critical.
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# The journal has fields of its own for these, or they are no single value.
_NOT_FACTS: Final = frozenset({"event", "level", "logger", "timestamp", "exc_info", "stack_info"})
# An operator types one name; the code also says which account, and which messages, by these.
_ALIASES: Final = {"account_id": "account", "accounts": "account", "message_ids": "message"}
# journald refuses longer names.
_NAME_LENGTH: Final = 64


def keep_facts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: where the record brings a place for them, it gets the facts of the line to come."""
    place = getattr(event["_record"], _PLACE, None)
    if place is not None:
        place.update(event)
    return event


class JournalHandler(logging.Handler):
    """Writes to the journal, or to standard error where that is gone. Never raises, never waits for long.

    A line that a full journal does not take is dropped and counted; the count follows as `log.lost`.
    """

    def __init__(self, journal: Journal, fallback: logging.StreamHandler[Any]) -> None:
        super().__init__()
        self._journal = journal
        self._fallback = fallback
        self._lost = 0

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - logging's name
        """Both ways speak alike."""
        super().setFormatter(fmt)
        self._fallback.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line and its facts over."""
        try:
            line, facts = told(self, record)
            receipt = self._journal.send(fields_of(record, line, facts))
        except Exception:  # noqa: BLE001 - logging's own rule: what cannot be told must not stop who tells it
            self.handleError(record)
            return
        match receipt:
            case Receipt.TAKEN:
                self._tell_lost()
            case Receipt.FULL:
                self._lost += 1
            case Receipt.GONE if _takes_a_line(self._fallback):
                self._fallback.handle(record)

    def close(self) -> None:
        """Let the socket go."""
        self._journal.close()
        super().close()

    def _tell_lost(self) -> None:
        if not self._lost:
            return
        line = json.dumps({"event": "log.lost", "level": "warning", "count": self._lost})
        fields = [
            ("MESSAGE", line),
            ("PRIORITY", str(_PRIORITIES[logging.WARNING])),
            ("SYSLOG_IDENTIFIER", IDENTIFIER),
            ("CONCORD_EVENT", "log.lost"),
            ("CONCORD_COUNT", str(self._lost)),
        ]
        if self._journal.send(fields) is Receipt.TAKEN:
            self._lost = 0


def told(handler: logging.Handler, record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """The line as the handler formats it, and its facts."""
    facts: dict[str, Any] = {}
    # The formatter works on a copy of the record; what the record leads to, both share.
    setattr(record, _PLACE, facts)
    return handler.format(record), facts


def fields_of(record: logging.LogRecord, line: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of one entry. A list becomes a field for each of its elements, which all can be searched for."""
    yield "MESSAGE", line
    yield "PRIORITY", str(_PRIORITIES.get(record.levelno, 5))
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    yield "LOGGER", record.name
    yield "CODE_FILE", record.pathname
    yield "CODE_LINE", str(record.lineno)
    yield "CODE_FUNC", record.funcName
    if isinstance(record.msg, dict):  # structlog's; a library's event is a sentence of its own each time
        yield "CONCORD_EVENT", str(facts.get("event"))
    for name, value in facts.items():
        if name in _NOT_FACTS or name.startswith("_"):
            continue
        for text in _texts(value):
            yield field_name(name), text
            if name in _ALIASES:
                yield field_name(_ALIASES[name]), text


@lru_cache(maxsize=1024)
def field_name(fact: str) -> str:
    """CONCORD_ACCOUNT for `account`: capitals, digits and underscores only, and not too long for the journal."""
    return f"CONCORD_{re.sub(r'[^A-Z0-9_]', '_', fact.upper())}"[:_NAME_LENGTH]


def _texts(value: object) -> Iterator[str]:
    match value:
        case None | dict():
            return
        case list() | tuple() | set() | frozenset():
            for each in value:
                if not isinstance(each, list | tuple | set | frozenset):
                    yield from _texts(each)
        case bool():
            yield str(value).lower()
        case _:
            yield without_logins(str(value))


def _takes_a_line(handler: logging.StreamHandler[Any]) -> bool:
    """Whether standard error has room: it may lead to a journal that nobody reads any more."""
    try:
        descriptor = handler.stream.fileno()
    except (OSError, ValueError):
        return True  # not a file at all
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
