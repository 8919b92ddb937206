"""Answers: data as JSON, and errors as `{"error": {…}}` with the status that fits."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from runherald.api import ApiError, ApiErrorAnswer
from runherald.errors import InvalidEvent, InvalidInput, RunheraldError, Unreachable
from runherald.sinks.errors import QueryFailed, QueryRefused
from runherald.streams.errors import LogClosed, LogFull, LogUnusable
from runherald.studio.errors import Foreign, NotFound, TooLarge, TooSlow, Unauthorized

RETRY_AFTER = {"Retry-After": "1"}


class Fault(NamedTuple):
    """An error as the caller is told: HTTP status, code, message, field and headers."""

    status: int
    code: str
    message: str
    field: str = ""
    headers: Mapping[str, str] = {}


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return data as JSON."""
    return Response(msgspec.json.encode(data), status, headers, media_type="application/json")


def error_answer(fault: Fault) -> Response:
    """Return an error as JSON."""
    return json_answer(ApiErrorAnswer(ApiError(code=fault.code, message=fault.message, field=fault.field)), fault.status, fault.headers)


def fault_of(error: Exception) -> Fault:
    """Return what the caller is told of an error: what this package says on purpose, and of anything else nothing."""
    match error:
        case InvalidEvent():
            return Fault(400, "InvalidEvent", error.reason, error.field)
        case Unauthorized():
            return Fault(401, "Unauthorized", str(error), headers={"WWW-Authenticate": "Bearer"})
        case Foreign():
            return Fault(403, "Foreign", str(error))
        case NotFound():
            return Fault(404, "NotFound", str(error))
        case TooLarge():
            return Fault(413, "TooLarge", str(error))
        case TooSlow():
            return Fault(408, "TooSlow", str(error), headers={"Connection": "close"})
        case ClientDisconnect():
            return Fault(400, "Disconnected", "the caller left before its request was whole")
        case QueryRefused() | QueryFailed():
            return Fault(400, type(error).__name__, str(error), "query")
        case InvalidInput():
            return Fault(400, "InvalidInput", str(error), _leading_field(str(error)))
        case Unreachable() | LogFull() | LogClosed() | LogUnusable():
            return Fault(503, "Unavailable", str(error), headers=RETRY_AFTER)
        case HTTPException():
            return Fault(
                error.status_code, HTTPStatus(error.status_code).phrase.replace(" ", ""), error.detail, headers=error.headers or {}
            )
        case RunheraldError():
            return Fault(500, type(error).__name__, str(error))
        case _:
            return Fault(500, "Internal", "the server failed on this request; its log says why")


def _leading_field(message: str) -> str:
    field, colon, _ = message.partition(": ")
    return field if colon and " " not in field else ""
