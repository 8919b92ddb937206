"""Reads wait for a server that restarts; nobody waits for one that was never there, and a seeded script draws what it always drew."""

from __future__ import annotations

import random
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from runherald import Experiment, Workspace
from runherald.errors import Unreachable
from runherald.producers.server.client import ApiClient
from runherald.records import Position


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"version":"1","log":"embedded","history":"embedded","partitions":[]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_read_tries_again_while_a_known_server_restarts(free_port: int) -> None:
    servers: list[HTTPServer] = []

    def start_at_the_third_try(_seconds: float) -> None:
        tries.append(1)
        if len(tries) == 3:
            servers.append(HTTPServer(("127.0.0.1", free_port), Answering))
            threading.Thread(target=servers[0].handle_request, daemon=True).start()

    tries: list[int] = []
    client = ApiClient(f"http://127.0.0.1:{free_port}", patience_seconds=30, sleep=start_at_the_third_try)
    client.saw([Position("runherald.events", 0, 1)])
    assert client.status().version == "1"
    assert len(tries) == 3
    client.close()
    servers[0].server_close()


def test_nobody_waits_for_a_server_that_was_never_there(free_port: int) -> None:
    def never(_seconds: float) -> None:
        raise AssertionError("waited")

    client = ApiClient(f"http://127.0.0.1:{free_port}", patience_seconds=30, sleep=never)
    with pytest.raises(Unreachable):
        client.status()


def test_patience_has_an_end(free_port: int) -> None:
    now = [0.0]

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    client = ApiClient(f"http://127.0.0.1:{free_port}", patience_seconds=5, monotonic=lambda: now[0], sleep=pass_time)
    client.saw([Position("runherald.events", 0, 1)])
    with pytest.raises(Unreachable):
        client.status()
    assert now[0] >= 5


def test_logging_draws_nothing_from_the_scripts_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("RUNHERALD_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("RUNHERALD_HOME", str(tmp_path))
    before = random.getstate()
    with Experiment(Workspace(), "seeded").start_logging() as run:
        run.log("loss", 1.0)
    assert random.getstate() == before
