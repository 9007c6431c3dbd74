"""What every noun of the API shares: its place, pages of lists, repetition without effect, and its description.

A POST with an `Idempotency-Key` (the IETF draft "The Idempotency-Key HTTP Header Field") is done once: its repetition
within a day answers the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from concord.adapters.sql.idempotency import KeptAnswer
from concord.bootstrap import Concord
from concord.errors import UsageError
from concord.model.binding import Binding, of_answer
from concord.model.user import Permission
from concord.ports import Vault
from concord.web.problem import Refusal
from concord.web.visitor import ApiVisitor, Visitor, concord_of

ROOT: Final = "/api/v1"
MOST: Final = 200
_KEY: Final = "idempotency-key"
_LONGEST_KEY: Final = 255
_NUL: Final = rb"\u0000"
_REPEATED: Final = ("content-type", "location")
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before; left out for the newest.")]


class Model(BaseModel):
    """What goes in or out; an unknown key is an error."""

    # Fields of an answer that hold a secret: it is shown once, and kept for no repetition.
    shown_once: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Page(Model, Generic[Item]):
    """Some of a list, the newest first."""

    items: list[Item]
    next: str | None = Field(default=None, description="The cursor of the following page; null at the end.")


class Problem(BaseModel):
    """What went wrong, and what to do (RFC 9457)."""

    type: str = Field(description="`about:blank`, or `urn:concord:problem:` and a stable word.")
    title: str
    status: int
    detail: str = Field(description="In the language of Accept-Language: en or zh-CN.")
    situation: str | None = Field(default=None, description="Which of the errors of that type: `handler.timeout`.")
    remedy: str | None = None
    facts: dict[str, str] | None = None
    errors: list[dict[str, str]] | None = Field(default=None, description="Each with `pointer` and `detail`.")
    log: list[str] | None = Field(default=None, description="The last lines of a daemon that failed.")


class Route(APIRoute):
    """A call of the API: who makes it is settled first, and it may be repeated where it brings an Idempotency-Key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's, which would read the body of a stranger; with the key looked up before and kept after."""
        call = super().get_route_handler()
        admit = _admission(self)
        hidden = _shown_once(self.response_model)

        async def sound(request: Request) -> Response:
            await admit(request)
            refuse_nul(await request.body())
            return await call(request)

        if self.methods != {"POST"}:
            return sound

        async def once(request: Request) -> Response:
            key = request.headers.get(_KEY)
            if key is None:
                return await sound(request)
            visitor = await admit(request)
            if not 0 < len(key) <= _LONGEST_KEY:
                raise UsageError("idempotency_key")
            return await _once(request, sound, _Claim(owner=_owner(visitor), key=key, hidden=hidden))

        return once


def _admission(route: APIRoute) -> ApiVisitor:
    """Every call of the API has one."""
    (admit,) = (one.call for one in route.dependant.dependencies if isinstance(one.call, ApiVisitor))
    return admit


def _shown_once(model: object) -> tuple[str, ...]:
    return model.shown_once if isinstance(model, type) and issubclass(model, Model) else ()


def _owner(visitor: Visitor) -> str:
    """Whose keys they are: a user's, by one token or by one browser."""
    if visitor.token:
        return f"user {visitor.user.id} token {visitor.token.id}"
    return f"user {visitor.user.id} session {visitor.session.id if visitor.session else 0}"


def refuse_nul(body: bytes) -> None:
    """PostgreSQL takes no NUL in a text, and nobody means one. Raises UsageError."""
    if _NUL not in body:
        return
    try:
        found = _has_nul(json.loads(body))
    except (ValueError, RecursionError):
        return  # the framework says what is wrong with it
    if found:
        raise UsageError("nul")


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(held) for name, held in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def api_router(noun: str, *, tag: str) -> APIRouter:
    """The router of one noun: `/api/v1/NOUN`."""
    told = {
        401: "No token, or a wrong, expired or revoked one.",
        403: "The token's scopes do not allow this.",
        422: "The request does not fit.",
        429: "Too many wrong tokens.",
        503: "Something Concord stands on is away.",
    }
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": _PROBLEM} for status, text in told.items()
    }
    return APIRouter(prefix=f"{ROOT}/{noun}", tags=[tag], route_class=Route, responses=responses)


def needs(permission: Permission) -> dict[str, Any]:
    """For a route's `openapi_extra`: which scope its token must have."""
    return {"security": [{"bearer": [permission.value]}], "x-scope": permission.value}


def not_found(sentence: str = "There is nothing of that name or number.") -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`."""
    return {404: {"description": sentence, "content": _PROBLEM}}


def cursor(*parts: object) -> str:
    """An opaque mark of a place in a list."""
    return base64.urlsafe_b64encode(json.dumps([str(part) for part in parts]).encode()).decode().rstrip("=")


def place_of(mark: str | None, length: int) -> list[str] | None:
    """The parts of a mark. Raises UsageError for one that we did not make."""
    if mark is None:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or len(parts) != length or not all(isinstance(part, str) for part in parts):
        raise UsageError("cursor")
    return parts


def number_of(mark: str | None) -> int | None:
    """The one number of a mark: the id that the next page lies below. Raises UsageError."""
    parts = place_of(mark, 1)
    if parts is None:
        return None
    if not parts[0].isascii() or not parts[0].isdecimal() or len(parts[0]) > 18:  # noqa: PLR2004 - what 63 bits hold
        raise UsageError("cursor")
    return int(parts[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """An Idempotency-Key of somebody who may make the call."""

    owner: str
    key: str
    hidden: tuple[str, ...]  # the answer's fields that nobody gets twice


async def _once(request: Request, call: Callable[[Request], Coroutine[Any, Any, Response]], claim: _Claim) -> Response:
    parts = concord_of(request)
    keys = parts.idempotency
    body = await request.body()
    fingerprint = hashlib.sha256(b"\n".join((request.method.encode(), str(request.url).encode(), body))).hexdigest()
    kept = await run_in_threadpool(keys.claim, claim.owner, claim.key, fingerprint)
    if kept is not None:
        return _repeated(kept, claim, fingerprint, parts.vault)
    try:
        answer = await call(request)
    except BaseException:
        # A refusal or a failure is no answer to keep: once corrected, the same call may be made again.
        await run_in_threadpool(keys.release, claim.owner, claim.key)
        raise
    await _keep(parts, claim, answer, of_answer(claim.owner, claim.key, fingerprint))
    return answer


async def _keep(parts: Concord, claim: _Claim, answer: Response, where: Binding) -> None:
    keys = parts.idempotency
    if answer.status_code >= HTTPStatus.BAD_REQUEST or not isinstance(answer.body, bytes):
        await run_in_threadpool(keys.release, claim.owner, claim.key)
        return
    headers = {name: value for name, value in answer.headers.items() if name in _REPEATED}
    body = b"" if _holds_secret(answer.body, claim.hidden) else _sealed(parts.vault, answer.body, where)
    await run_in_threadpool(keys.keep, claim.owner, claim.key, status=answer.status_code, headers=headers, body=body)


def _sealed(vault: Vault, body: bytes, where: Binding) -> bytes:
    return vault.seal(base64.b64encode(body).decode(), where)


def _holds_secret(body: bytes, hidden: tuple[str, ...]) -> bool:
    told = json.loads(body) if hidden else {}
    return any(told.get(name) is not None for name in hidden)


def _repeated(kept: KeptAnswer, claim: _Claim, fingerprint: str, vault: Vault) -> Response:
    if kept.fingerprint != fingerprint:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "The Idempotency-Key was used for another call.",
            remedy="Take a fresh key for each call that is not a repetition",
        )
    if kept.status is None:
        raise Refusal(
            HTTPStatus.CONFLICT,
            "The first call with this Idempotency-Key is under way.",
            remedy="Ask again in a moment",
        )
    if not kept.body:
        raise Refusal(
            HTTPStatus.CONFLICT,
            "This call was done already; its answer held a secret, which Concord shows only once.",
            remedy="Revoke or replace what the first call made, and make another with a fresh Idempotency-Key",
        )
    body = vault.unseal(kept.body, of_answer(claim.owner, claim.key, fingerprint))
    return Response(base64.b64decode(body), kept.status, {**kept.headers, "Idempotent-Replayed": "true"})


def visitor_of(request: Request) -> Visitor:
    """Who was let in."""
    visitor: Visitor = request.state.visitor
    return visitor
