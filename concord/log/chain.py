"""The pipeline itself: JSON lines, or columns when a person watches."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from concord.errors import ConcordError
from concord.log import journal
from concord.log.fields import JournalHandler, keep_facts
from concord.log.files import RotatedFileHandler, file_name, open_file
from concord.log.hiding import hide_secrets, without_logins
from concord.wording import english

# Neither style shows the local variables of a traceback's frames: a password may be one of them.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
# JSON leaves these as they are; the journal takes a line that has one for binary, and a terminal may obey it.
_CONTROLS: Final = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def configure(
    style: Literal["json", "pretty"],
    level: str,
    *,
    daemon: str | None = None,
    directory: Path | None = None,
) -> None:
    """Send everything to the journal where standard error is one, else to standard error; and to the daemon's file.

    Safe to call again, in a child process too. Raises SettingsError where `directory` cannot be written.
    """
    shared = _shared()
    handlers = _handlers(daemon, directory)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[keep_facts, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(style)],
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], handlers
    for handler in before:
        if isinstance(handler, JournalHandler | RotatedFileHandler):
            handler.close()
    root.setLevel(level.upper())
    _quieten()


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tell_errors,
        hide_secrets,
    ]


def _last(style: Literal["json", "pretty"]) -> list[Processor]:
    if style == "json":
        return [_TRACEBACKS, structlog.processors.JSONRenderer(default=str, ensure_ascii=False), _one_line]
    return [
        _printable,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_printable_traceback),
        _without_logins,
    ]


def _handlers(daemon: str | None, directory: Path | None) -> list[logging.Handler]:
    stream = logging.StreamHandler(sys.stderr)
    handlers: list[logging.Handler] = [
        JournalHandler(journal.Journal(journal.ADDRESS), fallback=stream) if journal.is_standard_error() else stream
    ]
    name = file_name(daemon) if daemon else None
    if directory and name:
        handlers.append(open_file(directory, name))
    return handlers


def _quieten() -> None:
    for noisy in ("alembic", "httpx", "httpcore", "botocore", "boto3", "s3transfer", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of every octet it cannot decode, at every poll; what matters of that, the adapter tells as an error.
    logging.getLogger("imapclient").setLevel(logging.ERROR)


def _tell_errors(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Spread an `error=` field that is one of ours into its sentence, code, facts and remedy."""
    error = event.get("error")
    if isinstance(error, ConcordError):
        event["error"] = english.sentence(error)
        event["error_code"] = error.code
        if todo := english.remedy(error):
            event["remedy"] = todo
        for name, value in error.facts.items():
            event.setdefault(name, english.value(value) if isinstance(value, Mapping) else value)
    return event


def _one_line(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Text that anything may show. What UTF-8 cannot say becomes the same escape in JSON."""
    return without_logins(line).encode(errors="backslashreplace").decode().translate(_CONTROLS)


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What strangers name (folders, files, senders) neither speaks to the terminal nor makes a line of its own."""
    return {_escaped(name): _escaped(value) if isinstance(value, str) else value for name, value in event.items()}


def _printable_traceback(out: TextIO, exc_info: Any) -> None:
    """A traceback ends with the exception's own words, which may quote a stranger's: indented, they forge no line."""
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    out.write("\n".join(f"  {_escaped(line)}" for line in plain.getvalue().split("\n")))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in text
    )


def _without_logins(_logger: WrappedLogger, _method: str, line: Any) -> str:
    return without_logins(line)
