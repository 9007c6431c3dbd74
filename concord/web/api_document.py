"""The API's description: OpenAPI 3.1, and pages that people read it on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.responses import Response

from concord import __version__
from concord.model.user import Permission
from concord.web.problem import Refusal
from concord.web.render import render
from concord.web.rest import Problem
from concord.web.visitor import Visitor, api, page

router = APIRouter(include_in_schema=False)

_ABOUT: Final = """\
All that the pages do. Send `Authorization: Bearer TOKEN`; `concord token create`, or the page *API tokens*, makes one.

* Failures are problem documents (RFC 9457): `application/problem+json`, with a `remedy` that says what to do; their
  words follow `Accept-Language` (en, zh-CN).
* Lists come in pages, the newest first: give `next` of one page as `cursor` for the following.
* A `POST` with an `Idempotency-Key` is done once: within a day its repetition with the same token answers the same. An
  answer with a secret, a fresh token say, is not kept: its repetition gets 409.
"""
PLACE: Final = "/api/docs"
Reader = Annotated[Visitor, Depends(page(Permission.READ))]
_VERBS: Final = ("get", "post", "put", "patch", "delete")


def document(app: FastAPI) -> dict[str, Any]:
    """The whole of it, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title="Concord", version=__version__, description=_ABOUT, routes=app.routes, openapi_version="3.1.0"
        )
        components = made.setdefault("components", {})
        scheme = {"type": "http", "scheme": "bearer", "description": "An API token."}
        components.setdefault("securitySchemes", {})["bearer"] = scheme
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
        app.openapi_schema = made
    return app.openapi_schema


@router.get("/api/openapi.json")
def openapi(request: Request, _me: Annotated[Visitor, Depends(api(Permission.READ))]) -> JSONResponse:
    """For programs that make clients."""
    return JSONResponse(document(request.app))


@router.get(PLACE)
def docs(request: Request, _me: Reader) -> Response:
    """For people: every call in a line, by what it is about."""
    groups = {tag: (slug(tag), some) for tag, some in _groups(document(request.app)).items()}
    return render(request, "api/docs.html", groups=groups)


@router.get(f"{PLACE}/{{group}}")
def group(request: Request, _me: Reader, group: str) -> Response:
    """Calls about one thing in full, and the shapes that they take and give: all on one page would be too heavy."""
    tree = document(request.app)
    found = next(((tag, some) for tag, some in _groups(tree).items() if slug(tag) == group), None)
    if found is None:
        raise Refusal(HTTPStatus.NOT_FOUND)
    tag, operations = found
    schemas = tree["components"]["schemas"]
    shapes = {name: schemas[name] for name in sorted(_named_in([asdict(one) for one in operations], schemas))}
    return render(request, "api/group.html", tag=tag, operations=operations, schemas=shapes, words=type_in_words)


def slug(tag: str) -> str:
    """As an address holds it."""
    return tag.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call, as the page shows it."""

    tag: str
    verb: str
    path: str
    name: str
    text: str
    scope: str
    parameters: list[Mapping[str, Any]]
    body: Mapping[str, Any] | None
    answers: dict[str, Mapping[str, Any] | None]  # schema by status

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.verb}{self.path}".lower()).strip("-")


def _groups(tree: Mapping[str, Any]) -> dict[str, list[Operation]]:
    groups: dict[str, list[Operation]] = {}
    for operation in _operations(tree):
        groups.setdefault(operation.tag, []).append(operation)
    return groups


def _named_in(node: Any, schemas: Mapping[str, Any]) -> set[str]:
    """Every shape that is named there, and those that these name."""
    found: set[str] = set()
    left = [node]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            name = str(one.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                left.append(schemas[name])
            left += one.values()
        elif isinstance(one, list):
            left += one
    return found


def _operations(tree: Mapping[str, Any]) -> Iterator[Operation]:
    for path, verbs in tree["paths"].items():
        for verb in _VERBS:
            if verb in verbs:
                yield _operation(path, verb, verbs[verb])


def _operation(path: str, verb: str, told: Mapping[str, Any]) -> Operation:
    answers = {status: _schema(one) for status, one in told["responses"].items() if status.startswith("2")}
    return Operation(
        tag=(told.get("tags") or ["Other"])[0],
        verb=verb,
        path=path,
        name=told.get("summary", path),
        text=told.get("description", ""),
        scope=told.get("x-scope", ""),
        parameters=told.get("parameters", []),
        body=_schema(told.get("requestBody", {})),
        answers=answers,
    )


def _schema(holder: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for content in holder.get("content", {}).values():
        found: Mapping[str, Any] | None = content.get("schema")
        return found
    return None


def type_in_words(schema: Mapping[str, Any]) -> str:
    """`text`, `integer 1–200`, `list of Account`, `read | mail`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " | ".join(type_in_words(one) for one in schema[word])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"[{type_in_words(schema.get('items', {}))}]"
    return f"{kind} ({schema['format']})" if "format" in schema else kind
