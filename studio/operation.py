"""An operation of the HTTP API: path and method, what is asked and what is answered. Its route is made of it, and its description."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runherald.studio.parameters import Parameter

JSON = "application/json"

Handler = Callable[[Request], Awaitable[Response]]


class Operation(Struct, frozen=True, kw_only=True):
    """What callers may ask for.

    Attributes:
        path: with the names of what varies in braces.
        answer: the type that is answered as JSON; None where the answer is no JSON, but `answer_media`.
        body: the type that the body must be; None for no body.
        waits: a request may carry a position, and the answer then includes what was written there.
        guarded: it asks for the server's token, and may turn a caller away.
    """

    path: str
    handler: Handler
    answer: Any = None
    method: str = "GET"
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    body_media: str = JSON
    answer_media: str = JSON
    waits: bool = False
    guarded: bool = True

    @property
    def name(self) -> str:
        """The operation's id."""
        return str(self.handler.__name__)

    @property
    def summary(self) -> str:
        """What it does, in a line: the handler's own word."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    def route(self) -> Route:
        """Return where it is."""
        return Route(self.path, self.handler, methods=[self.method])
