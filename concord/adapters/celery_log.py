"""Celery logs through our pipeline, and every line says which task and which mail it is about."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import sys
from collections.abc import Mapping, Sequence

import structlog
from celery import signals

from concord import log
from concord.adapters.task_names import ADVANCE_WORKFLOW, CANARY, DELIVER, POLL_EMAIL_ACCOUNT, PROCESS_EMAIL
from concord.errors import SettingsError
from concord.settings import LogSettings
from concord.wording import english

SHOWN_IDS = 5
# Where Celery says that a task was received and how it ended.
_TASK_LOGGERS = ("celery.worker.strategy", "celery.app.trace")
_ARGUMENT_NAMES = {
    POLL_EMAIL_ACCOUNT: "account_id",
    PROCESS_EMAIL: "message_ids",
    DELIVER: "delivery_ids",
    ADVANCE_WORKFLOW: "run_ids",
}


def connect_logging(settings: LogSettings) -> None:
    """Take logging out of Celery's hands. Doing it again replaces what was connected before."""

    def configure(**_: object) -> None:
        try:
            _begin(settings)
        except SettingsError as error:
            # Celery would log what a signal's receiver raises, and go on without any log.
            sys.exit(f"Error: {english.explain(error)}")
        # The watchdog ends what is stuck with SIGABRT: this leaves each thread's stack in the log, without its values.
        faulthandler.enable()
        for name in _TASK_LOGGERS:
            logging.getLogger(name).addFilter(_is_worth_a_line)

    def begin_child(**_: object) -> None:
        structlog.contextvars.clear_contextvars()
        # A log directory that went away meanwhile ends no pool process: what its parent has open will do.
        with contextlib.suppress(SettingsError):
            _begin(settings)

    wiring = {
        signals.setup_logging: configure,
        signals.worker_process_init: begin_child,
        signals.task_prerun: _bind,
        signals.task_postrun: _unbind,
    }
    for signal, receiver in wiring.items():
        uid = f"concord.{receiver.__name__}"
        signal.disconnect(dispatch_uid=uid)
        signal.connect(receiver, weak=False, dispatch_uid=uid)


def _begin(settings: LogSettings) -> None:
    daemon = next((word for word in sys.argv if log.file_name(word)), None)
    log.configure(settings.style, settings.level, daemon=daemon, directory=settings.directory)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """A worker's canary comes and goes every few seconds; only its troubles are told."""
    facts = getattr(record, "data", None)
    return not (isinstance(facts, Mapping) and facts.get("name") == CANARY and record.levelno <= logging.INFO)


def _bind(task_id: str, task: object, args: Sequence[object], kwargs: Mapping[str, object], **_: object) -> None:
    name = str(getattr(task, "name", ""))
    facts: dict[str, object] = {"task_id": task_id, "task": name}
    argument = _ARGUMENT_NAMES.get(name)
    if argument:
        facts[argument] = _shortened(args[0] if args else kwargs.get(argument))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**facts)


def _unbind(**_: object) -> None:
    structlog.contextvars.clear_contextvars()


def _shortened(ids: object) -> object:
    """The first few ids and how many more there are."""
    if not isinstance(ids, list) or len(ids) <= SHOWN_IDS:
        return ids
    return [*ids[:SHOWN_IDS], f"and {len(ids) - SHOWN_IDS} more"]
