"""Who may send requests: a bearer token, or the cookie that signing in with it gives a browser, and no page of another site."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runherald.studio.answers import error_answer, fault_of
from runherald.studio.errors import Foreign, Unauthorized
from runherald.studio.hosts import is_from_another_site, is_own_name

COOKIE = "runherald_session"
_OPEN = ("/healthz", "/sign-in", "/static/", "/vendor/")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_UNKNOWN_NAME = (
    "Host: {!r} is no name that this server knows, and it asks for no token; start it with --public-url and the address that people"
    " reach it by, or set RUNHERALD_TOKEN"
)


class Access:
    """Lets requests through that show the token. Without a token set, all but those that pages of other sites send.

    `names` are those that people reach the server by, besides its addresses and names without a dot.
    """

    def __init__(self, app: ASGIApp, token: str, names: Collection[str] = ()) -> None:
        self._app = app
        self._token = token
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answer = self._refusal(request)
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        # Browsers say where a request comes from; a page of another site may send one, and must not cancel runs with it.
        if request.method not in _SAFE and is_from_another_site(request.headers, self._names):
            return error_answer(fault_of(Foreign("another site's page sends this request; only this server's own pages may")))
        path: str = request.scope["path"]
        # With a token set a page that borrows this server's address has nothing to show.
        host = request.headers.get("host", "")
        if not self._token and path != "/healthz" and not is_own_name(host, self._names):
            return error_answer(fault_of(Foreign(_UNKNOWN_NAME.format(host[:80]))))
        if not self._token or path.startswith(_OPEN) or self._shows_token(request):
            return None
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"/sign-in?next={quote(path)}", 303)
        return error_answer(fault_of(Unauthorized("Authorization: no token, or not the server's; send `Authorization: Bearer TOKEN`")))

    def _shows_token(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return is_token(shown.strip(), self._token)
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), session_of(self._token).encode())


def is_token(shown: str, token: str) -> bool:
    """Say whether what somebody shows is the token, in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(shown.encode(), token.encode())


def session_of(token: str) -> str:
    """Return the cookie's value: it proves that the token was known, and does not reveal it."""
    return hmac.new(token.encode(), b"runherald session", hashlib.sha256).hexdigest()
