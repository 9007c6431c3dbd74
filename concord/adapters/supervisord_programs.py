"""Programs for supervisord: one for each further worker, all in one file beside the one that has poll and mail.

After `write_programs`, `take_up` (or `supervisorctl update`) starts a new worker and drops one that is gone.
"""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from concord.adapters.supervisord_rpc import RPC_ERRORS, supervisord
from concord.errors import SupervisorDownError, UsageError
from concord.model.daemon import program_name, worker
from concord.model.worker import BUILT_IN

STOP_SECONDS: Final = 75.0  # beyond a worker's stopwaitsecs

_HEAD: Final = "; Made by Concord for the files in its workers' directory; changes here are lost. See concord.conf.\n"
_TEXT: Final = """\

[program:{program}]
command=%(ENV_DAEMON_BIN)s/concord worker run {instance}
directory=%(ENV_DAEMON_STATE)s
environment=NOTIFY_SOCKET="%(ENV_DAEMON_RUN)s/notify.sock",WATCHDOG_USEC="60000000"
priority=30
autorestart=true
startsecs=3
startretries=1000000
stopsignal=QUIT
stopwaitsecs=60
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile=%(ENV_DAEMON_LOGS)s/celery-worker.log
stdout_logfile_maxbytes=0
"""


def program_text(instance: str) -> str:
    """The program of one worker, as the worker `poll` has it in concord.conf."""
    return _TEXT.format(instance=instance, program=program_name(worker(instance)))


def write_programs(instances: Iterable[str], file: Path) -> bool:
    """A program for each worker but poll and mail, and for no other; whether anything changed. Raises UsageError."""
    text = _HEAD + "".join(program_text(one) for one in instances if one not in BUILT_IN)
    try:
        with suppress(FileNotFoundError):
            if file.read_text(encoding="utf-8") == text:
                return False
        _write(file, text)
    except OSError as error:
        raise UsageError("program_file", file=file, cause=error.strerror) from None
    return True


def take_up(socket: Path) -> None:
    """Let a running supervisord know: it starts what is new and stops what is gone, and touches no other program.

    Raises SupervisorDownError where none answers, UsageError where it cannot read its files.
    """
    try:
        with supervisord(socket, seconds=STOP_SECONDS) as server:
            ((added, _changed, removed),) = server.reloadConfig()
            for group in filter(_is_worker, removed):
                server.stopProcessGroup(group)
                server.removeProcessGroup(group)
            for group in filter(_is_worker, added):
                server.addProcessGroup(group)
    except RPC_ERRORS as error:
        raise SupervisorDownError("supervisord_mute", socket=socket, cause=error) from None
    except xmlrpc.client.Fault as fault:
        raise UsageError("programs_not_taken", cause=fault.faultString) from None


def _is_worker(group: str) -> bool:
    return group.startswith(program_name(worker("")))


def _write(path: Path, text: str) -> None:
    # Never half of one.
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)
