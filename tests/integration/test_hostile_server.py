"""A server in a hostile place: what strangers, foreign pages and greedy callers may not do to it. docs/security.md lists it."""

from __future__ import annotations

import gzip
import html
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from runherald.api import POSITION_HEADER, format_positions
from runherald.events import Actor, AmlRunLogEvent, AmlRunMetricEvent, DebugInfo, ErrorEnvelope, Evidence, LogLine, RootError
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.guard.answer import QueryLimits
from runherald.status import Status
from runherald.studio.pages import PAGE_CHILDREN, PAGE_METRICS
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
        StudioServer(history_database, tmp_path, query_limits=QueryLimits(seconds=8.0)) as server,
        ThreadPoolExecutor(16) as callers,
    ):
        asked = [callers.submit(server.http.post, "/api/v1/query", json={"query": ENDLESS}) for _ in range(16)]
        # More than run or wait are turned away at once, and by then the others are on their way.
        first, _ = wait(asked, 20, FIRST_COMPLETED)
        assert {reply.result().status_code for reply in first} == {503}
        for path in ("/", "/api/v1/runs", "/healthz", "/query"):
            assert server.http.get(path).status_code == 200
        assert all(reply.result().status_code == 503 for reply in asked if reply.done()), "a page waited for a query to end"
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


HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}{% raw %}</title></textarea></pre>javascript:alert(3)"


class Markup(HTMLParser):
    """Gathers what a page would load, run or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag if tag != "img" else f"img {dict(attrs).get('src')}")
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "formaction")]
        if tag == "script":
            assert str(dict(attrs).get("src")).startswith(("/static/", "/vendor/"))


def test_nothing_that_runs_say_becomes_markup(history_database: HistoryDatabase, tmp_path: Path) -> None:
    run, child = Teller("r"), Teller("c")
    error = ErrorEnvelope(
        error=RootError(message=HOSTILE, code=HOSTILE, debug_info=DebugInfo(type=HOSTILE, message=HOSTILE, stack_trace=HOSTILE))
    )
    described: dict[str, Any] = {
        "display_name": HOSTILE,
        "description": HOSTILE,
        "tags": {HOSTILE[:100]: HOSTILE, "flag": None},
        "properties": {HOSTILE[:100]: HOSTILE},
        "params": {HOSTILE: HOSTILE},
        "user": HOSTILE,
        "compute_target": HOSTILE,
        "script_name": HOSTILE,
    }
    events = [
        run.created(f"e{HOSTILE}", **described),
        child.created(f"e{HOSTILE}", parent_run_id="r", root_run_id="r", **described),
        *(told for one in (run, child) for told in (one.status(Status.RUNNING), one.points(HOSTILE, [1.0, 2.0, 3.0]))),
        run.event(AmlRunLogEvent(file=HOSTILE, lines=(LogLine(number=0, time=1, text=HOSTILE),))),
        run.status(Status.FAILED, message=HOSTILE, error=error, evidence=Evidence(host=HOSTILE), actor=Actor(kind="user", name=HOSTILE)),
    ]
    mails = tmp_path / "mails"
    mails.mkdir()
    (mails / "1.eml").write_bytes(f"From: {HOSTILE}\r\nTo: {HOSTILE}\r\nSubject: {HOSTILE}\r\n\r\n{HOSTILE}\r\n".encode())
    with StudioServer(history_database, tmp_path / "log", mail_folder=mails) as server:
        taken = server.post(events)
        assert taken.rejected == []
        server.get("/api/v1/runs/r", taken)
        odd = quote(HOSTILE)
        alias = "SELECT 1 AS `" + HOSTILE.replace("'", "") + "`, display_name FROM runs"
        pages = ["/", "/runs/r", "/runs/c", f"/runs/{odd}", f"/?experiment=e{odd}", f"/?experiment={odd}&tag={odd}", f"/?status={odd}"]
        pages += [
            f"/?cursor={odd}",
            f"/query?q={odd}",
            f"/query?q={quote(alias)}",
            f"/sign-in?next=/{odd}",
            "/mails",
            "/mails/1.eml",
            "/mails/1.eml/body",
        ]
        pages += [f"/mails/{odd}", f"/{odd}"]
        for path in pages:
            reply = server.http.get(path, headers={"Accept": "text/html"})
            assert reply.headers["content-type"].startswith("text/html"), path
            assert "default-src 'none'" in reply.headers["content-security-policy"], path
            assert "unsafe-inline" not in reply.headers["content-security-policy"].replace("style-src 'unsafe-inline'", ""), path
            page = Markup()
            page.feed(reply.text)
            assert not {element for element in page.elements if element.startswith("img") and element != "img /static/mark.svg"}, path
            assert not {name for name in page.attributes if name.startswith("on")}, path
            assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links), (path, page.links)
            assert "49" not in {text.strip() for text in reply.text.split(">")}, path
        shown = server.http.get("/runs/r").text
        assert html.escape("<script>alert(2)</script>") in shown


BOMBS = {
    "scalars": b"[" + b"1," * 2_000_000 + b"1]",
    "empty objects": b"[" + b"{}," * 1_300_000 + b"{}]",
    "brackets": b"[" * 2_000_000 + b"]" * 2_000_000,
    "one key again and again": b'[{"id":1' + b',"id":1' * 500_000 + b"}]",
    "one long number": b"[" + b"9" * 4_000_000 + b"]",
    "one long text": b'["' + b"\\u0000" * 600_000 + b'"]',
    "no UTF-8": b'[{"id":"\xff\xfe"}]',
    "zipped": gzip.compress(b"[" + b" " * 4_000_000 + b"]"),
    "too large": b" " * 5_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_body_made_to_hurt_is_answered_soon_and_shortly(server: StudioServer, name: str) -> None:
    began = time.monotonic()
    reply = server.http.post("/api/v1/events", content=BOMBS[name], headers={"Content-Encoding": "gzip"} if name == "zipped" else {})
    assert reply.status_code in (200, 400, 413)
    assert len(reply.content) < 5_000
    assert time.monotonic() - began < 5
    assert reply.status_code != 200 or reply.json()["accepted"] == 0
    assert server.http.get("/healthz").text == "ok"


def test_a_run_of_thousands_of_children_and_metrics_has_a_page(server: StudioServer) -> None:
    run = Teller("r")
    children = [Teller(f"child-{number:04}").created(parent_run_id="r", root_run_id="r") for number in range(3_000)]
    names = tuple(f"metric-{number:04}" for number in range(1_000))
    columns: dict[str, Any] = {"series": list(range(1_000)), "steps": [0] * 1_000, "times": [0] * 1_000, "values": [1.0] * 1_000}
    taken = server.post([run.created(), run.event(AmlRunMetricEvent(names=names, **columns)), *children])
    page = server.http.get("/runs/r", headers={POSITION_HEADER: format_positions(taken.positions)}).text
    assert page.count('href="/runs/child-') == PAGE_CHILDREN
    assert 'href="/?parent=r"' in page
    assert page.count('<th scope="row">metric-') == PAGE_METRICS
    assert "The first 500 of 1000 are shown." in page
    assert 'href="/runs/child-' in server.http.get("/?parent=r").text
