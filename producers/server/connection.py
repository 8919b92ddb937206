"""One keep-alive HTTP connection to a runherald server, on the standard library."""

from __future__ import annotations

import codecs
import contextlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlsplit

from runherald.errors import InvalidInput, Unreachable
from runherald.setting_checks import OFFLINE

if TYPE_CHECKING:
    import http.client


class Answer(NamedTuple):
    """What the server said. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Sends requests over one connection, which is opened when needed and again when the server dropped it. Safe between threads.

    Raises:
        InvalidInput: the URL is not http or https with a host, or the token holds what no header may.
    """

    def __init__(self, url: str, token: str = "", *, timeout_seconds: float = 30.0) -> None:
        _load()
        self._parts = _split(url)
        self._token = _checked_token(token)
        self._timeout = timeout_seconds
        self._lock = threading.Lock()
        self._open: http.client.HTTPConnection | None = None

    @property
    def url(self) -> str:
        """The server's address, without a trailing slash and without credentials."""
        host = self._parts.netloc.rpartition("@")[2]
        return f"{self._parts.scheme}://{host}{self._parts.path.rstrip('/')}"

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Answer:
        """Send a request and read its answer; `timeout` in seconds, the connection's own when none is given.

        A kept connection that the server closed meanwhile is opened again, once: all that is sent may be sent twice.

        Raises:
            Unreachable: the server cannot be reached or broke off.
        """
        import http.client

        sent = dict(headers or {})
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        with self._lock:
            kept = self._open is not None
            try:
                return self._exchange(method, path, body, sent, timeout)
            except (ConnectionError, http.client.CannotSendRequest) as error:
                self._drop()
                if not kept:
                    raise self._unreachable(error) from error
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                raise self._unreachable(error) from error
            try:
                return self._exchange(method, path, body, sent, timeout)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                raise self._unreachable(error) from error

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        with self._lock:
            self._drop()

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float | None) -> Answer:
        if self._open is None:
            self._open = self._connect()
        seconds = self._timeout if timeout is None else timeout
        self._open.timeout = seconds
        if self._open.sock is not None:
            self._open.sock.settimeout(seconds)
        self._open.request(method, self._parts.path.rstrip("/") + path, body=body, headers=headers)
        response = self._open.getresponse()
        content = response.read()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
        if response.will_close:
            self._drop()
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        import http.client

        host = self._parts.hostname or ""
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(host, self._parts.port, timeout=self._timeout)

    def _drop(self) -> None:
        if self._open is not None:
            with contextlib.suppress(OSError):  # a script that makes itself a daemon closes what is open, ours as well
                self._open.close()
            self._open = None

    def _unreachable(self, error: Exception) -> Unreachable:
        kind = "took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return Unreachable(f"{self.url} does not answer ({kind}); is the server up (`runherald up`), and RUNHERALD_URL its address?")


def _load() -> None:
    """Import what the first request needs: not with this module, since it takes a while, and not in the request, since that may be made by
    a thread while another forks, which leaves the child with half a module. The same goes for the codec of host names."""
    import http.client  # noqa: F401

    codecs.lookup("idna")


def _split(url: str) -> SplitResult:
    if url == OFFLINE:
        raise InvalidInput("RUNHERALD_URL: is 'offline', where no server is asked; set the address of one, or pass it as --url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("RUNHERALD_URL: is no URL; write it like http://127.0.0.1:7460") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidInput(f"RUNHERALD_URL: a URL of scheme {parts.scheme or 'none'!r}; write it like http://127.0.0.1:7460")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise InvalidInput("RUNHERALD_URL: its host is no name that could be looked up; write it like http://127.0.0.1:7460") from None
    return parts


def _checked_token(token: str) -> str:
    wrong = next((place for place, character in enumerate(token) if not "!" <= character <= "~"), None)
    if wrong is not None:  # said here: the HTTP client would say it with the token
        raise InvalidInput(f"RUNHERALD_TOKEN: its character {wrong + 1} of {len(token)} is a blank, a line's end or not ASCII; take it out")
    return token
