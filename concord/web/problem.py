"""A failure as a program reads it: RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import JSONResponse

from concord.errors import (
    ArchiveLossError,
    ConcordError,
    ConflictError,
    DaemonFailedError,
    ExistsError,
    ForbiddenError,
    MailboxError,
    Mistake,
    MistakesError,
    NotFoundError,
    PasswordsBusyError,
    PermanentError,
    ProofNeededError,
    SchemaError,
    SecretKeyError,
    SignInRefusedError,
    TooManyAttemptsError,
    TransientError,
)
from concord.web import error_text
from concord.web.i18n import N_, gettext

SENTENCES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: N_("The request cannot be read: it breaks off, or its form is not what it says."),
    HTTPStatus.NOT_FOUND: N_("There is nothing at this address."),
    HTTPStatus.METHOD_NOT_ALLOWED: N_("This address does not take that method."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: N_("The request is too big; admin.max_body_bytes says how big one may be."),
    HTTPStatus.INTERNAL_SERVER_ERROR: N_("Something happened that Concord did not expect. The service's log has it."),
}
# The first class that fits says the status.
_STATUS: Final[tuple[tuple[type[ConcordError], HTTPStatus], ...]] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ExistsError, HTTPStatus.CONFLICT),
    (ConflictError, HTTPStatus.CONFLICT),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (ProofNeededError, HTTPStatus.FORBIDDEN),
    (SignInRefusedError, HTTPStatus.UNAUTHORIZED),
    (TooManyAttemptsError, HTTPStatus.TOO_MANY_REQUESTS),
    (SecretKeyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (SchemaError, HTTPStatus.SERVICE_UNAVAILABLE),
    (DaemonFailedError, HTTPStatus.BAD_GATEWAY),
    (MailboxError, HTTPStatus.BAD_GATEWAY),
    # One object, not the archive: asking again at once helps nobody.
    (ArchiveLossError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
    (PermanentError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


class Refusal(Exception):  # noqa: N818 - a "no" by the rules of HTTP, and no failure of Concord's
    """The web's own refusal: a forged form, a wrong token, a page that is not there."""

    def __init__(
        self,
        status: HTTPStatus,
        sentence: str = "",
        *,
        remedy: str = "",
        facts: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence or SENTENCES.get(status, "")
        self.remedy = remedy
        self.facts = facts or {}
        self.headers = headers or {}


def status_of(error: ConcordError) -> HTTPStatus:
    """The status that says what kind of failure it is."""
    return next(status for kind, status in _STATUS if isinstance(error, kind)) if _known(error) else _UNKNOWN


_UNKNOWN: Final = HTTPStatus.INTERNAL_SERVER_ERROR


def _known(error: ConcordError) -> bool:
    return any(isinstance(error, kind) for kind, _ in _STATUS)


def retry_after(error: ConcordError) -> dict[str, str]:
    """How long to wait, where that is known (RFC 9110, section 10.2.3)."""
    seconds = error.seconds if isinstance(error, TooManyAttemptsError | PasswordsBusyError) else None
    return {"Retry-After": str(seconds)} if seconds else {}


def problem(
    status: int,
    detail: str = "",
    *,
    kind: str = "",
    remedy: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """An answer that says what is wrong, in the request's language."""
    told = {
        "type": f"urn:concord:problem:{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": gettext(detail or SENTENCES.get(status, "")),
        **({"remedy": gettext(remedy)} if remedy else {}),
        **{name: value for name, value in more.items() if value},
    }
    return JSONResponse(told, status, headers, media_type="application/problem+json")


def problem_of(error: ConcordError) -> JSONResponse:
    """An error of Concord's own: its code as the type; its situation and its facts beside the sentence."""
    return problem(
        status_of(error),
        error_text.sentence(error),
        kind=error.code,
        situation=error.situation,
        remedy=error_text.remedy_for_programs(error),
        facts=error_text.facts_of(error),
        log=list(error.log) if isinstance(error, DaemonFailedError) else None,
        errors=[_mistake(one) for one in error.mistakes] if isinstance(error, MistakesError) else None,
        headers=retry_after(error),
    )


def _mistake(mistake: Mistake) -> dict[str, str]:
    """As `problem_of_input` has them: where, why, and what to do."""
    sentence, cause = error_text.sentence(mistake.error), error_text.facts_of(mistake.error).get("cause")
    told = [f"{sentence}: {gettext(cause)}" if cause else sentence]
    if todo := error_text.remedy_for_programs(mistake.error):
        told.append(todo)
    return {"pointer": "/".join(["", *map(str, mistake.path)]), "detail": ". ".join(told)}


def problem_of_input(errors: Sequence[Mapping[str, Any]]) -> JSONResponse:
    """What does not fit the API's description: where, and why; never the value, which may be a secret."""
    told = [
        {"pointer": "/".join(["", *(str(part) for part in one["loc"])]), "detail": str(one["msg"])} for one in errors
    ]
    sentence = N_("The request does not fit the API's description.")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, kind="input", errors=told)
