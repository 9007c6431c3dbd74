"""One structlog pipeline for Concord, Celery and every library: JSON lines, or columns when a person watches.

Event names are constant (`mail.archived`), facts are fields, identifiers stand for objects. What identifies the unit
of work (account, message, task_id) is bound once with `structlog.contextvars.bound_contextvars`.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from concord.errors import ConcordError

HIDDEN = "[hidden]"
_SECRET_NAMES = ("password", "secret", "token", "authorization", "credential", "passwd", "api_key")
# Neither style shows the local variables of a traceback's frames: a password may be one of them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(style: Literal["json", "pretty"], level: str) -> None:
    """Send everything to standard error in one style. Safe to call again, in a child process too."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tell_errors,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    last: list[Processor] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer(default=str, ensure_ascii=False)]
        if style == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "botocore", "boto3", "s3transfer", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of every octet it cannot decode, at every poll; what matters of that, the adapter tells as an error.
    logging.getLogger("imapclient").setLevel(logging.ERROR)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The last net: a field named like a secret never shows its value."""
    for name in event:
        if any(word in name.lower() for word in _SECRET_NAMES):
            event[name] = HIDDEN
    return event


def _tell_errors(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Spread an `error=` field that is one of ours into its sentence, code, facts and remedy."""
    error = event.get("error")
    if isinstance(error, ConcordError):
        event["error"] = error.message
        event["error_code"] = error.code
        if error.advice:
            event["remedy"] = error.advice
        for name, value in error.fields.items():
            event.setdefault(name, value)
    return event
