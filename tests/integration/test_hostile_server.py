"""A server in a hostile place: what strangers, foreign pages and greedy callers may not do to it. docs/security.md lists it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runherald.sinks.connection import HistoryDatabase
from runherald.status import Status
from tests.history_feed import Teller
from tests.studio_server import StudioServer


@pytest.fixture
def server(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[StudioServer]:
    with StudioServer(history_database, tmp_path / "log") as running:
        yield running


def test_a_page_of_another_site_cannot_cancel_a_run(server: StudioServer) -> None:
    run = Teller("r")
    taken = server.post([run.created(), run.status(Status.RUNNING)])
    server.get("/api/v1/runs/r", taken)
    # A form, and a POST that needs no leave: as browsers send them over plain HTTP, with no Sec-Fetch-Site.
    for path in ("/runs/r/cancel", "/api/v1/runs/r/cancel"):
        for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}):
            reply = server.http.post(path, content=b"", headers={"Origin": "http://evil.example", **headers})
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "Foreign")
    assert server.get("/api/v1/runs/r")["status"] == "Running"
    assert server.http.post("/runs/r/cancel", headers={"Origin": server.url}).status_code == 303


def test_a_name_that_borrows_the_servers_address_is_refused(server: StudioServer) -> None:
    port = server.port
    for path in ("/", "/api/v1/runs", "/api/v1/status", "/metrics", "/query?q=SELECT+1", "/static/live.js"):
        reply = server.http.get(path, headers={"Host": f"evil.example:{port}", "Sec-Fetch-Site": "same-origin"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "Foreign"), path
        assert "--public-url" in reply.text
    for host in (f"localhost:{port}", "trainbox", "192.168.1.5:80", "[::1]"):
        assert server.http.get("/api/v1/status", headers={"Host": host}).status_code == 200, host
    assert server.http.get("/healthz", headers={"Host": "pod.cluster.example"}).status_code == 200


def test_the_name_that_people_use_is_known(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, public_url="https://runs.example.org/") as server:
        known = {"Host": "runs.example.org", "Origin": "https://runs.example.org"}
        assert server.http.post("/api/v1/events", content=b"[]", headers=known).status_code == 200
        assert server.http.get("/api/v1/status", headers={"Host": "other.example.org"}).status_code == 403


def test_with_a_token_any_name_will_do_for_those_who_show_it(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, token="s3cret") as server:
        assert server.http.get("/api/v1/status", headers={"Host": "runs.example.org"}).status_code == 200
        stranger = httpx.get(f"{server.url}/api/v1/status", headers={"Host": "evil.example"})
        assert stranger.status_code == 401
