"""Whether what Concord stands on answers, and mail flows; within seconds, with cause and remedy, and never a secret."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, Final

import structlog

from concord.adapters.redis import connect, impatient, is_open, translated
from concord.adapters.sql import schema
from concord.adapters.sql.sealed import verify_key
from concord.bootstrap import Concord, now
from concord.errors import (
    ArchiveDownError,
    ConcordError,
    InfrastructureError,
    SchemaError,
    SecretKeyError,
)
from concord.log.hiding import without_logins
from concord.model.account import AccountStatus
from concord.model.fault import in_english
from concord.services import secrets
from concord.web import flow
from concord.web.check import Check
from concord.web.i18n import N_
from concord.wording import english

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 3.0
# Whoever asks more often gets the last answer: watching must cost nothing.
_FRESH_SECONDS: Final = 1.0
# Writing to an object store costs money.
_ARCHIVE_FRESH_SECONDS: Final = 60.0
# Every stored secret is opened.
_KEY_FRESH_SECONDS: Final = 10.0
# The figures change once an hour, and there may be thousands of accounts.
_MAIL_FRESH_SECONDS: Final = 10.0


Look = Callable[[], "str | Check"]
"""What it found; a ConcordError, or a check of its own, where that is not well."""
# It works, and nothing has to happen at once.
OPEN_REDIS: Final = Check(
    ok=True,
    detail=N_("It answers, and to everybody without a password"),
    remedy=N_(
        "Give it one: 'concord secrets protect-redis' where it runs on this machine; else set 'requirepass' and write "
        "its address with the password to the credential file 'redis__url'. Then restart Concord"
    ),
)


class Probe:
    """Looks at one part, in a thread that nobody waits for longer than `seconds`.

    While a look hangs, no second one is begun; an answer of the last moments is given again.
    """

    def __init__(self, look: Look, *, seconds: float = ANSWER_SECONDS, fresh: float = _FRESH_SECONDS) -> None:
        self._look = look
        self._seconds = seconds
        self._fresh = fresh
        self._last: tuple[float, Check] | None = None
        self._running: asyncio.Future[Check] | None = None

    async def ask(self) -> Check:
        """What there is to say, in time."""
        if self._last and self._last[1].ok and time.monotonic() - self._last[0] < self._fresh:
            return self._last[1]
        if self._running is None or self._running.done():
            self._running = self._begun()
        try:
            return await asyncio.wait_for(asyncio.shield(self._running), self._seconds)
        except TimeoutError:
            return Check(
                ok=False,
                detail=N_("It does not answer in time"),
                cause=f"{self._seconds:g} s",
                remedy=N_("See whether its server hangs, and whether a firewall drops what is sent to it"),
            )

    def _begun(self) -> asyncio.Future[Check]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Check] = loop.create_future()

        def settle(check: Check) -> None:
            self._last = (time.monotonic(), check)
            answer.set_result(check)

        def work() -> None:
            check = looked(self._look)
            # The service may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, check)

        # A daemon thread, not an executor's: one that hangs must not hold up the end of the process.
        Thread(target=work, name="health", daemon=True).start()
        return answer


class Health:
    """All parts at once."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._failing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, concord: Concord) -> Health:
        """Of everything that the daemons cannot do without, and of what they do."""
        return cls(
            {
                "key": Probe(lambda: _key(concord), fresh=_KEY_FRESH_SECONDS),
                "database": Probe(lambda: _database(concord)),
                "redis": Probe(lambda: _redis(concord)),
                "archive": Probe(lambda: _archive(concord), fresh=_ARCHIVE_FRESH_SECONDS),
                "mail": Probe(lambda: _mail(concord), fresh=_MAIL_FRESH_SECONDS),
                "schedule": Probe(lambda: flow.schedule(concord)),
                "workers": Probe(lambda: flow.workers(concord)),
                "polls": Probe(lambda: flow.polls(concord), fresh=_MAIL_FRESH_SECONDS),
            }
        )

    async def look(self) -> dict[str, Check]:
        """By name."""
        found = await asyncio.gather(*(probe.ask() for probe in self._probes.values()))
        checks = dict(zip(self._probes, found, strict=True))
        self._log_changes(checks)
        return checks

    def _log_changes(self, checks: Mapping[str, Check]) -> None:
        """Where nobody can sign in to read the whole answer, the log still says why."""
        failing = frozenset(name for name, check in checks.items() if not check.ok)
        for name in sorted(failing - self._failing):
            check = checks[name]
            log.warning("health.failing", check=name, detail=check.detail, cause=check.cause, remedy=check.remedy)
        for name in sorted(self._failing - failing):
            log.info("health.recovered", check=name)
        self._failing = failing


def document(checks: Mapping[str, Check], version: str) -> dict[str, Any]:
    """The answer of /healthz."""
    return {
        "status": "ok" if all(check.ok for check in checks.values()) else "degraded",
        "version": version,
        **{name: figure for check in checks.values() for name, figure in check.figures.items()},
        "checks": {name: _told(check) for name, check in checks.items()},
    }


def short(checks: Mapping[str, Check]) -> dict[str, Any]:
    """The answer of /healthz to strangers: what is well and what is not, without versions, figures, paths or causes."""
    whole = document(checks, "")
    return {"status": whole["status"], "checks": {name: {"ok": check.ok} for name, check in checks.items()}}


def looked(look: Look) -> Check:
    """The border of one look: whatever it meets becomes a finding."""
    try:
        found = look()
    except ConcordError as error:
        return Check(ok=False, detail=english.sentence(error), cause=_cause(error), remedy=english.remedy(error))
    except Exception as error:
        # The health answers whatever a library raises; what it was, the log has.
        log.exception("health.failed")
        return Check(
            ok=False,
            detail=N_("Something Concord did not expect"),
            cause=type(error).__name__,
            remedy=N_("See the log"),
        )
    return found if isinstance(found, Check) else Check(ok=True, detail=found)


def _key(concord: Concord) -> str:
    vault = concord.vault
    try:
        verify_key(concord.engine, vault)
        secrets.check(concord)
        _refuse_closed_daemons(concord)
    except SecretKeyError:
        raise
    except (InfrastructureError, SchemaError):
        return "There is one; whether it is the database's own, the database must say"
    return "It opens this database's secrets"


def _refuse_closed_daemons(concord: Concord) -> None:
    """Another daemon, perhaps on another host, may have another key. Raises SecretKeyError."""
    at = now()
    closed = [one for one in concord.key_ring.reports() if one.trouble and one.is_live(at)]
    if closed:
        raise SecretKeyError(
            "daemons_closed", daemons=", ".join(one.daemon for one in closed), cause=in_english(closed[0].trouble)
        )


def _database(concord: Concord) -> str:
    schema.check(concord.engine)
    return f"It answers, at version {schema.newest()}"


def _redis(concord: Concord) -> str | Check:
    settings = impatient(concord.settings.redis)
    with translated():
        with connect(settings) as client:
            client.ping()
        if is_open(settings):
            return OPEN_REDIS
    return "It answers"


def _archive(concord: Concord) -> str:
    try:
        concord.archive.check()
    except ArchiveDownError:
        raise
    except (InfrastructureError, SchemaError):
        return "Whether it is this database's own, the database must say"
    return f"{concord.settings.archive.kind}: written to, read back and cleaned up"


def _mail(concord: Concord) -> str | Check:
    try:
        statuses = concord.accounts.statuses()
        return accounted({one.name: statuses[one.id] for one in concord.accounts.all(enabled_only=True)})
    except (InfrastructureError, SchemaError):
        return "Whether all of it is accounted for, the database must say"


def accounted(enabled: Mapping[str, AccountStatus]) -> Check:
    """O7: no mail is on a server that Concord should have and has not. By account name."""
    lacking = {name: status.unaccounted for name, status in enabled.items() if status.unaccounted}
    lost = {name: status.lost for name, status in enabled.items() if status.lost}
    unknown = sum(status.unaccounted is None for status in enabled.values())
    figures = {"unaccounted": sum(lacking.values()), "lost": sum(lost.values())}
    if lacking and lacking == lost:
        return Check(
            ok=False,
            detail=N_("The archive lacks the bytes of mail that Concord took"),
            cause=", ".join(f"account {name}: {count}" for name, count in sorted(lost.items())),
            remedy=N_(
                "Concord asks the mail servers for it again at the next polls; restore from a backup of the archive "
                "what the servers have no more, and work resumes automatically"
            ),
            figures=figures,
        )
    if lacking:
        return Check(
            ok=False,
            detail=N_("Servers have mail that Concord should have and has not"),
            cause=", ".join(f"account {name}: {count}" for name, count in sorted(lacking.items())),
            remedy=N_("Concord fetches it at the next polls; where the figure stays, see 'concord account show NAME'"),
            figures=figures,
        )
    told = f"Compared with the server: {len(enabled) - unknown} of {len(enabled)} accounts; nothing is missing"
    return Check(ok=True, detail=told, figures=figures)


def _cause(error: ConcordError) -> str:
    said = english.facts(error)
    return without_logins(", ".join(value if name == "cause" else f"{name} {value}" for name, value in said.items()))


def _told(check: Check) -> dict[str, Any]:
    words = {"detail": check.detail, "cause": check.cause, "remedy": check.remedy}
    return {"ok": check.ok, **{name: text for name, text in words.items() if text}}
