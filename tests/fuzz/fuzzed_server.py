"""A whole server as a process of its own, to be asked anything; and what must be true of it afterwards."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterable
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from runherald.streams.folder_lock import LOCK_FILE
from tests.server_process import ServerProcess, free_port, wait_until

PATIENCE = 15.0
"""Seconds for an answer: the server itself waits up to ten for a position."""


class Answer(NamedTuple):
    """What came back; `seconds` until it was there."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class FuzzedServer:
    """Sends bytes to a server, well-formed or not."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.process = ServerProcess(folder, port)
        self.url = self.process.url
        self._address = ("127.0.0.1", port)

    def request(self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str | bytes]] = ()) -> Answer:
        """Send a request whose frame is well-formed, whatever stands in it."""
        given = [("Host", urlsplit(self.url).netloc), ("Connection", "close"), ("Content-Length", str(len(body))), *headers]
        lines = b"".join(name.encode() + b": " + (value.encode() if isinstance(value, str) else value) + b"\r\n" for name, value in given)
        return self.exchange(f"{method} {path} HTTP/1.1\r\n".encode() + lines + b"\r\n" + body, method)

    def exchange(self, sent: bytes, method: str = "GET") -> Answer:
        """Send bytes and return the answer to them.

        Raises:
            TimeoutError: there was none in time.
            ConnectionError, HTTPException: there was none.
        """
        began = time.monotonic()
        with socket.create_connection(self._address, PATIENCE) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before all was sent
                connection.sendall(sent)
            response = HTTPResponse(connection, method=method)
            response.begin()
            body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body, time.monotonic() - began)

    def resident_megabytes(self) -> float:
        """Return how much memory the process holds."""
        pid = (self.process.data / LOCK_FILE).read_text().strip()
        pages = Path(f"/proc/{pid}/statm")
        if pages.exists():
            return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        return int(subprocess.run(["ps", "-o", "rss=", "-p", pid], capture_output=True, text=True, check=True).stdout) / 1024

    def check_well(self) -> None:
        """Fail unless all that was taken is in history, every processor works, and nothing went wrong that nobody foresaw."""
        assert self.request("GET", "/healthz").body == b"ok"
        wait_until("the processors' end", lambda: not any(part["lag"] for part in self.process.get("/api/v1/status")["partitions"]), 30)
        status = self.process.get("/api/v1/status")
        assert (status["stops"], status["dead_letters"]) == ([], 0)
        log = (self.process.folder / "server.log").read_text(errors="replace")
        assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3_000]

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()
