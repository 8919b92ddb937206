"""The description of the HTTP API, OpenAPI 3.1, made of the operations that the routes are made of and of the types that are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from runherald.api import POSITION_HEADER, ApiErrorAnswer
from runherald.studio.operation import JSON, Operation
from runherald.studio.parameters import Choices, Parameter

_REFERENCE = "#/components/schemas/{name}"
_IN_PATH = re.compile(r"{(\w+)}")
_RUN_ID = r"^(?!\.{1,2}$)[A-Za-z0-9_.\-]{1,256}$"
_POSITION = r"[a-z.\-]+/[0-9]{1,9}/[0-9]{1,18}"

_ABOUT = (
    "Run history and mail alerts for training runs. What is wrong with a request is said in `error`: `code`, `message` and `field`. "
    f"A write answers the positions that it was logged at; a read that carries them in `{POSITION_HEADER}` includes it."
)
_FAULTS = {
    400: "The request cannot be used; `field` says what of it.",
    401: "The server asks for a token, and the request shows none, or another one.",
    403: "A page of another site sends the request, or it asks for the server by a name that is not its own.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    413: "The body is too large; send it in parts.",
    503: "A part of the server is away or busy, or history has not passed the position in time; ask again after `Retry-After` seconds.",
}


def describe(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """Return the document of these operations, as JSON's kind of values."""
    paths: dict[str, dict[str, Any]] = {}
    types = [kind for operation in operations for kind in (operation.body, operation.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, ApiErrorAnswer], ref_template=_REFERENCE)
    known = dict(zip(map(repr, [*types, ApiErrorAnswer]), schemas, strict=True))
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "runherald", "version": version, "description": _ABOUT},
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(operation: Operation, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    answer = {"type": "string"} if operation.answer is None else schemas[repr(operation.answer)]
    fault = {JSON: {"schema": schemas[repr(ApiErrorAnswer)]}} if operation.guarded else {operation.answer_media: {"schema": answer}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*map(_in_path, _IN_PATH.findall(operation.path)), *map(_in_query, operation.parameters), *_position(operation)],
        "responses": {
            "200": {"description": "Done.", "content": {operation.answer_media: {"schema": answer}}},
            **{str(status): {"description": _FAULTS[status], "content": fault} for status in _faults(operation)},
        },
    }
    if operation.body is not None:
        content = {operation.body_media: {"schema": schemas[repr(operation.body)]}}
        described["requestBody"] = {"content": content, "required": not _may_be_empty(operation.body)}
    return described


def _may_be_empty(body: Any) -> bool:
    """Say whether no body at all is as good as one that says nothing."""
    try:
        msgspec.json.decode(b"{}", type=body)
    except msgspec.ValidationError:
        return False
    return True


def _faults(operation: Operation) -> Iterable[int]:
    if not operation.guarded:
        return (503,)
    return sorted({400, 401, 403, 503, *((404,) if "{" in operation.path else ()), *((408, 413) if operation.body is not None else ())})


def _in_path(name: str) -> dict[str, Any]:
    form = {"type": "string", "pattern": _RUN_ID} if name == "run_id" else {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": form}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    described = {"name": parameter.name, "in": "query", "description": parameter.about, "schema": parameter.schema}
    return {**described, "explode": True} if isinstance(parameter, Choices) else described


def _position(operation: Operation) -> list[dict[str, Any]]:
    if not operation.waits:
        return []
    about = "Positions that the answer must include: `topic/partition/offset`, separated by commas."
    form = {"type": "string", "pattern": f"^{_POSITION}(,{_POSITION})*$"}
    return [{"name": POSITION_HEADER, "in": "header", "description": about, "schema": form}]
