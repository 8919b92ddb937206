"""A real HTTP server that gives canned answers of the API, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from runherald.api import API, ApiError, ApiErrorAnswer


class Asked(Struct, frozen=True):
    """A request that came."""

    method: str
    path: str
    parameters: dict[str, str]
    authorization: str
    body: bytes


class CannedApi:
    """Answers of the API by method and path below /api/v1.

    An answer is a value (200), or a pair of status and value; a list of answers is given one by one, the last again and again.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Any]] = {}
        self.live: list[bytes] = []
        """Bodies of the feed of changes, one a connection; without one there is no feed."""

    def answer(self, path: str, *answers: object, method: str = "GET") -> None:
        """Set the answers of a path."""
        self._answers[method, path] = list(answers)

    def refuse(self, path: str, status: int, message: str, field: str = "", *, method: str = "GET") -> None:
        """Let a path answer with an error."""
        self.answer(path, (status, ApiErrorAnswer(ApiError(code="canned", message=message, field=field))), method=method)

    def take(self, asked: Asked) -> tuple[int, bytes]:
        """Return the status and the body that answer a request."""
        self.asked.append(asked)
        answers = self._answers.get((asked.method, asked.path.removeprefix(API)))
        if answers is None:
            return 404, msgspec.json.encode(ApiErrorAnswer(ApiError(code="not_found", message=f"there is no {asked.path}")))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        status, value = answer if isinstance(answer, tuple) else (200, answer)
        return status, value if isinstance(value, bytes) else msgspec.json.encode(value)


@contextmanager
def canned_api() -> Iterator[CannedApi]:
    """Serve canned answers on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if parts.path == f"{API}/live" and api.live:
                self._feed(api.live.pop(0))
                return
            asked = Asked(method, parts.path, dict(parse_qsl(parts.query)), self.headers.get("Authorization", ""), body)
            status, answer = api.take(asked)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _feed(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = CannedApi(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
