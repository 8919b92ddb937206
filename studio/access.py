"""Who may send requests: a bearer token, or the cookie that signing in with it gives a browser."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runherald.studio.answers import error_answer, fault_of
from runherald.studio.errors import Foreign, Unauthorized

COOKIE = "runherald_session"
_OPEN = ("/healthz", "/sign-in", "/static/", "/vendor/")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES = frozenset({"same-origin", "none"})


class Access:
    """Lets requests through that show the token. Without a token set, all but those that pages of other sites send."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

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
        if request.method not in _SAFE and request.headers.get("sec-fetch-site", "none") not in _OWN_PAGES:
            return error_answer(fault_of(Foreign("another site's page sends this request; only this server's own pages may")))
        path = request.url.path
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
