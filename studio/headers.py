"""Headers that every answer carries, and the bound on what a request may carry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runherald.studio.errors import TooLarge, TooSlow

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
BODY_SECONDS = 120.0
"""In which a body must be here."""
_ALWAYS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class SafeHeaders:
    """Adds the headers that an answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


async def no_bound_together(_size: int) -> None:
    """Let every part of a body in: what is small needs no bound for all requests together."""


async def read_body(
    request: Request, bound: int, *, seconds: float = BODY_SECONDS, make_room: Callable[[int], Awaitable[None]] = no_bound_together
) -> bytes:
    """Return the body of a request. `make_room` is awaited before each part of it is kept, and told its bytes.

    Raises:
        TooLarge: it is above the bound, in bytes; no more than the bound is read.
        TooSlow: it is not there in time; such a caller would hold a connection for nothing.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > bound:
        raise _too_large(bound)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > bound:
                    raise _too_large(bound)
                await make_room(len(part))
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"the body did not come within {seconds:g} s; send it in smaller parts") from None
    return b"".join(parts)


def _too_large(bound: int) -> TooLarge:
    return TooLarge(f"the body is above {bound} bytes; send it in parts")
