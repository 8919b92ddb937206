"""A server in a hostile place: what strangers, foreign pages and greedy callers may not do to it. docs/security.md lists it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.guard.answer import QueryLimits
from runherald.status import Status
from runherald.studio.user_queries import MAX_ASKED
from tests.history_feed import Teller
from tests.server_process import wait_until
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


ENDLESS = "SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b WHERE a.number % 7 = b.number % 3"


def test_slow_queries_keep_nobody_else_waiting(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with (
        StudioServer(history_database, tmp_path, query_limits=QueryLimits(seconds=3.0)) as server,
        ThreadPoolExecutor(16) as callers,
    ):
        asked = [callers.submit(server.http.post, "/api/v1/query", json={"query": ENDLESS}) for _ in range(16)]
        # More than run or wait are turned away at once, and by then the others are on their way.
        first, _ = wait(asked, 20, FIRST_COMPLETED)
        assert {reply.result().status_code for reply in first} == {503}
        for path in ("/", "/api/v1/runs", "/healthz", "/query"):
            began = time.monotonic()
            assert server.http.get(path).status_code == 200
            assert time.monotonic() - began < 2.5, path
        assert sum(reply.done() for reply in asked) < 16, "the queries ended before the pages were asked for"
        replies = [reply.result() for reply in asked]
        assert {reply.status_code for reply in replies} == {400, 503}
        assert sum(reply.status_code == 503 for reply in replies) == 16 - MAX_ASKED
        assert all("ask again" in reply.text for reply in replies if reply.status_code == 503)
        assert {reply.json()["error"]["code"] for reply in replies if reply.status_code == 400} == {"QueryFailed"}


def test_an_answer_too_wide_for_a_page_is_cut(server: StudioServer) -> None:
    columns = ", ".join(["1"] * 3_000)
    began = time.monotonic()
    page = server.http.get("/query", params={"q": f"SELECT {columns} FROM numbers(1000)"})
    assert page.status_code == 200
    assert "the first 3 are shown" in page.text
    assert page.text.count("<tr>") == 4
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("text", [r"SELECT '\xff'", r"SELECT 1 AS `\xff`", "SELECT '\ud800'", "\0", "SELECT unhex('ff')"])
def test_a_query_of_odd_bytes_has_an_answer(server: StudioServer, text: str) -> None:
    reply = server.http.post("/api/v1/query", content=json.dumps({"query": text}))
    assert reply.status_code in (200, 400), reply.text


def test_only_so_many_streams_are_open_and_the_rest_is_told(server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runherald.studio.live.MAX_FOLLOWERS", 3)
    lines = []
    with ExitStack() as open_streams:
        for run_id in ("a", "b", ""):
            stream = open_streams.enter_context(server.http.stream("GET", "/api/v1/live", params={"run": run_id}))
            lines.append(stream.iter_lines())  # kept: without it the stream would be closed
            assert next(lines[-1]) == "event: open"
        with server.http.stream("GET", "/api/v1/live") as refused:
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    wait_until("the streams' end", lambda: server.parts.live.count() == 0, 20)
    assert server.http.get("/api/v1/live", params={"run": "x\r\ndata: forged"}).json()["error"]["field"] == "run"


def test_a_caller_that_leaves_in_the_middle_is_no_fault_of_the_server(server: StudioServer, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as caller:
            caller.sendall(b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[")
    counted = 'runherald_http_request_seconds_count{method="POST",route="/api/v1/events",status="400"} 3.0'
    wait_until("the callers' ends", lambda: counted in server.http.get("/metrics").text, 20)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
