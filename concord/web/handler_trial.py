"""What came of trying a handler, as pages and the API tell it: with what to do where it failed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from concord.errors import ConcordError, ForbiddenError, UsageError
from concord.handlers.trial import Trial
from concord.model.user import Permission
from concord.web import error_text
from concord.web.error_text import facts_of
from concord.web.i18n import N_, gettext
from concord.web.visitor import Visitor

# By the receiver's status.
_REMEDIES: Final[dict[int, str]] = {
    401: N_("Give the receiver the signing secret, or the handler the header that the receiver wants"),
    403: N_("Give the receiver the signing secret, or the handler the header that the receiver wants"),
    404: N_("Compare the path of the URL with what the receiver's documentation says"),
    405: N_("Compare the path of the URL with what the receiver's documentation says: it must take POST"),
    410: N_("Ask the receiver's people for its new URL, or switch the handler off"),
    413: N_("Let the receiver take bigger requests, or lower webhook.max_body_bytes"),
    429: N_("Wait a little; deliveries are tried again by themselves"),
}
_REFUSED: Final = N_("What the receiver answers below says why; Concord sends CloudEvents in JSON")
_FAILED: Final = N_("The receiver itself failed: its log says why")
_MOVED: Final = N_("Put the address that the receiver answers with into the handler's URL")
_SILENT: Final = N_("Check that the receiver runs, and that host and port of the URL are right")


def event_of(text: str, me: Visitor) -> UUID | None:
    """The event that was chosen; None: a sample. Raises UsageError, ForbiddenError."""
    if not text:
        return None
    try:
        event = UUID(text)
    except ValueError:
        raise UsageError("event_id_form") from None
    refuse_unread(me, event)
    return event


def refuse_unread(me: Visitor, event: UUID | None) -> None:
    """A receiver may repeat the mail that it is sent. Raises ForbiddenError."""
    if event and not me.may(Permission.MAIL):
        raise ForbiddenError("event", needed=Permission.MAIL)


def remedy_of(error: ConcordError) -> str:
    """What to do about it."""
    status = error.facts.get("status")
    if status is None:
        return error_text.remedy(error) or gettext(_SILENT)
    code = int(str(status))
    if code in _REMEDIES:
        return _REMEDIES[code]
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _FAILED
    return _REFUSED if code >= HTTPStatus.BAD_REQUEST else _MOVED


def shown(trial: Trial | None, trouble: ConcordError | None = None) -> dict[str, Any]:
    """For the template. `trouble`: it could not even be tried."""
    error = trial.error if trial else trouble
    remedy = ""
    if error:
        remedy = remedy_of(error) if trial else error_text.remedy(error)
    return {"trial": trial, "failure": error, "failure_facts": _facts(error, trial) if error else {}, "remedy": remedy}


def _facts(error: ConcordError, trial: Trial | None) -> dict[str, str]:
    """Without what stands beside the calls, and what only a worker goes by."""
    beside = ("status", "retry_after", "busy") if trial and trial.calls else ("retry_after", "busy")
    return {name: text for name, text in facts_of(error).items() if name not in beside}
