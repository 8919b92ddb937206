"""The HTTP API on the real log, the real processors and the real engine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from runherald.api import POSITION_HEADER, Intake, MetricSeries, RunPage, RunView, ServerStatus, TransitionView, format_positions
from runherald.events import AmlRunHeartbeatEvent, AmlRunLogEvent, LogLine
from runherald.records import Position
from runherald.sinks.connection import HistoryDatabase
from runherald.status import Status
from runherald.topics import EVENTS
from runherald.wire import CONTENT_TYPE, encode_batch
from tests.history_feed import Teller
from tests.studio_server import StudioServer

BATCH = {"Content-Type": CONTENT_TYPE}


@pytest.fixture
def server(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[StudioServer]:
    with StudioServer(history_database, tmp_path / "log") as running:
        yield running


def test_a_read_with_the_position_of_a_write_sees_it(server: StudioServer) -> None:
    for number in range(5):
        run = Teller(f"run-{number}")
        taken = server.post([run.created(), run.status(Status.RUNNING), run.points("loss", [1.0, 2.0])])
        assert (taken.accepted, taken.rejected) == (3, [])
        assert {position.topic for position in taken.positions} == {"runherald.events", "runherald.metrics"}
        view = msgspec.convert(server.get(f"/api/v1/runs/run-{number}", taken), RunView)
        assert view.status == "Running"
        [series] = msgspec.convert(server.get(f"/api/v1/runs/run-{number}/metrics", taken), list[MetricSeries])
        assert series.values == [1.0, 2.0]


def test_every_read_of_the_api_answers_in_its_form(server: StudioServer) -> None:
    parent, child = Teller("p"), Teller("c")
    lines = tuple(LogLine(number=number, time=number, text=f"line {number}") for number in range(5))
    taken = server.post(
        [
            parent.created(tags={"team": "red"}),
            child.created(parent_run_id="p", root_run_id="p"),
            child.points("loss", [1.0]),
            child.event(AmlRunLogEvent(lines=lines)),
        ]
    )
    page = msgspec.convert(server.get("/api/v1/runs?root_only=true&tag=team=red&limit=1", taken), RunPage)
    assert [run.run_id for run in page.runs] == ["p"]
    [found] = msgspec.convert(server.get("/api/v1/runs/p/children?recursive=true"), list[RunView])
    assert found.run_id == "c"
    assert msgspec.convert(server.get("/api/v1/runs/p/children?limit=1"), RunPage).runs == [found]
    assert msgspec.convert(server.get("/api/v1/runs/c/children?limit=1"), RunPage).runs == []
    assert server.http.get("/api/v1/runs/nobody/children?limit=1").status_code == 404
    [step] = msgspec.convert(server.get("/api/v1/runs/p/transitions"), list[TransitionView])
    assert step.status == "NotStarted"
    [series] = server.get("/api/v1/runs/p/metrics?recursive=true&name=loss", taken)
    assert (series["run_id"], series["values"]) == ("c", [1.0])
    assert server.get("/api/v1/runs/p/metrics?recursive=true&limit=1", taken) == {"series": [series], "next": ""}
    assert [line["text"] for line in server.get("/api/v1/runs/c/logs?tail=2", taken)] == ["line 3", "line 4"]
    assert server.get("/api/v1/runs/p/notices") == []
    assert server.get("/api/v1/notices") == []
    reply = server.http.post("/api/v1/query", json={"query": "SELECT run_id FROM runs ORDER BY run_id"})
    assert reply.json()["rows"] == [["c"], ["p"]]
    status = msgspec.convert(server.get("/api/v1/status"), ServerStatus)
    assert {partition.processor for partition in status.partitions} == {"history", "metrics", "logs", "dead-letters"}
    assert server.http.get("/healthz").text == "ok"


def test_bad_members_are_named_and_the_good_are_taken(server: StudioServer) -> None:
    [good] = json.loads(encode_batch([Teller("good").created()]))
    members: list[Any] = [
        {**good, "time": "yesterday"},
        good,
        {"specversion": "1.0", "id": "lonely"},
        17,
        {**good, "subject": "../etc"},
        {**good, "data": {"operation": "Exploded"}},
    ]
    reply = server.http.post("/api/v1/events", content=json.dumps(members), headers=BATCH)
    taken = msgspec.json.decode(reply.content, type=Intake)
    assert taken.accepted == 1
    assert [(member.index, member.field, bool(member.reason)) for member in taken.rejected] == [
        (0, "time", True),
        (2, "source", True),
        (3, "event", True),
        (4, "runid", True),
        (5, "data.operation", True),
    ]
    assert taken.rejected[1].id == "lonely"
    assert server.get("/api/v1/runs/good", taken)["status"] == "NotStarted"


def test_an_event_too_large_for_the_log_is_refused_alone(server: StudioServer) -> None:
    large = Teller("large")
    lines = tuple(LogLine(number=number, time=number, text="x" * 1_000) for number in range(1_200))
    taken = server.post([large.event(AmlRunLogEvent(lines=lines)), Teller("small").created()])
    assert taken.accepted == 1
    [rejected] = taken.rejected
    assert rejected.field == "data"
    assert "bytes" in rejected.reason


WRONG_REQUESTS: list[tuple[str, str, bytes | None, int, str, str]] = [
    ("GET", "/api/v1/runs/nobody", None, 404, "NotFound", ""),
    ("GET", "/api/v1/runs/nobody/metrics", None, 404, "NotFound", ""),
    ("GET", "/api/v1/nothing", None, 404, "NotFound", ""),
    ("GET", "/api/v1/runs?status=Exploded", None, 400, "InvalidInput", "status"),
    ("GET", "/api/v1/runs?limit=0", None, 400, "InvalidInput", "limit"),
    ("GET", "/api/v1/runs?limit=many", None, 400, "InvalidInput", "limit"),
    ("GET", "/api/v1/runs?cursor=x", None, 400, "InvalidInput", "cursor"),
    ("GET", "/api/v1/runs?root_only=perhaps", None, 400, "InvalidInput", "root_only"),
    ("PUT", "/api/v1/runs", None, 405, "MethodNotAllowed", ""),
    ("POST", "/api/v1/events", b"not json", 400, "InvalidEvent", "body"),
    ("POST", "/api/v1/query", b'{"query": 1}', 400, "InvalidEvent", "body.query"),
    ("POST", "/api/v1/query", b'{"query": "SELECT * FROM system.users"}', 400, "QueryRefused", "query"),
    ("POST", "/api/v1/query", b'{"query": "SELECT nothing FROM runs"}', 400, "QueryFailed", "query"),
    ("POST", "/api/v1/runs/nobody/cancel", b"", 404, "NotFound", ""),
]
"""Method, path, body; status, code, field."""


def test_a_wrong_request_is_told_what_is_wrong(server: StudioServer, subtests: pytest.Subtests) -> None:
    for method, path, body, status, code, field in WRONG_REQUESTS:
        with subtests.test(f"{method} {path} {body!r}"):
            reply = server.http.request(method, path, content=body)
            assert reply.status_code == status
            error = reply.json()["error"]
            assert (error["code"], error["field"]) == (code, field)
            assert error["message"]
            assert "Traceback" not in reply.text


def test_a_body_above_the_bound_is_refused_said_or_not(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, max_body=1_000) as server:
        said = server.http.post("/api/v1/events", content=b"x" * 1_001)
        unsaid = server.http.post("/api/v1/events", content=iter([b"x" * 600, b"x" * 600]))
        assert [said.status_code, unsaid.status_code] == [413, 413]
        assert said.json()["error"]["code"] == "TooLarge"


def test_a_position_that_history_does_not_reach_is_not_waited_for_without_end(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, processing=False, position_wait=0.2) as server:
        taken = server.post([Teller("r").created()])
        reply = server.http.get("/api/v1/runs/r", headers={POSITION_HEADER: format_positions(taken.positions)})
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"
        assert reply.json()["error"]["code"] == "Unavailable"


@pytest.mark.parametrize("value", ["nonsense", format_positions([Position("runherald.status", 0, 1)])])
def test_a_position_that_means_nothing_is_refused(server: StudioServer, value: str) -> None:
    reply = server.http.get("/api/v1/runs", headers={POSITION_HEADER: value})
    assert reply.status_code == 400
    assert reply.json()["error"]["field"] == POSITION_HEADER


def test_a_cancellation_reaches_the_run_with_its_next_batch(server: StudioServer) -> None:
    run = Teller("r")
    server.get("/api/v1/runs/r", server.post([run.created(), run.status(Status.RUNNING)]))
    asked = server.http.post("/api/v1/runs/r/cancel", json={"user": "ada", "reason": "wrong data"})
    assert asked.status_code == 200, asked.text
    told = server.post([run.event(AmlRunHeartbeatEvent(lease_seconds=60.0)), Teller("other").created()])
    assert told.cancel_requested == ["r"]
    server.get("/api/v1/runs/r", msgspec.json.decode(asked.content, type=Intake))
    step = server.get("/api/v1/runs/r/transitions")[-1]
    assert (step["status"], step["cause"], step["message"], step["actor"]) == ("CancelRequested", "user", "wrong data", "user ada")
    done = server.post([run.status(Status.CANCELED)])
    assert server.get("/api/v1/runs/r", done)["status"] == "Canceled"
    late = server.http.post("/api/v1/runs/r/cancel")
    assert late.status_code == 400
    assert "Canceled" in late.json()["error"]["message"]


def test_a_cancellation_by_another_server_is_told_as_well(server: StudioServer) -> None:
    run, user = Teller("r"), Teller("r", producer="another-server")
    taken = server.post([run.created(), run.status(Status.RUNNING), user.status(Status.CANCEL_REQUESTED)])
    server.get("/api/v1/runs/r", taken)
    deadline = time.monotonic() + 10
    while server.post([run.event(AmlRunHeartbeatEvent(lease_seconds=60.0))]).cancel_requested != ["r"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_with_a_token_only_health_is_open(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, token="s3cret") as server, httpx.Client(base_url=server.url) as stranger:
        for path in ("/api/v1/runs", "/metrics", "/", "/api/v1/live", "/runs/x"):
            reply = stranger.get(path)
            assert reply.status_code == 401, path
            assert reply.headers["www-authenticate"] == "Bearer"
            assert "s3cret" not in reply.text
        assert stranger.post("/api/v1/events", content=b"[]").status_code == 401
        assert stranger.get("/api/v1/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert stranger.get("/healthz").status_code == 200
        assert server.http.get("/api/v1/runs").status_code == 200


def test_a_page_of_another_site_cannot_write(server: StudioServer) -> None:
    for origin, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        assert server.http.post("/api/v1/events", content=b"[]", headers={"Sec-Fetch-Site": origin}).status_code == status
    # Over plain HTTP to another machine a browser says no more than this.
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403), (server.url, 200)):
        assert server.http.post("/api/v1/events", content=b"[]", headers={"Origin": origin}).status_code == status, origin


def test_the_feed_tells_of_a_run_that_changes(server: StudioServer) -> None:
    run = Teller("r")
    server.get("/api/v1/runs/r", server.post([run.created()]))
    changes: list[str] = []
    with server.http.stream("GET", "/api/v1/live?run=r", timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("event: open"))
        writer = threading.Thread(target=lambda: server.post([Teller("other").created(), run.status(Status.RUNNING)]))
        writer.start()
        changes = [next(line for line in lines if line.startswith("data: r")) for _ in range(2)]
        writer.join()
    assert changes == ["data: r", "data: r"]


def test_the_feed_ends_when_the_server_is_told_to_stop(server: StudioServer) -> None:
    with server.http.stream("GET", "/api/v1/live", timeout=20) as stream:
        lines = stream.iter_lines()
        next(lines)
        server.parts.live.close()
        for _ in lines:
            pass


def test_the_figures_count_what_was_done(server: StudioServer) -> None:
    server.get("/api/v1/runs", server.post([Teller("r").created()]))
    server.http.post("/api/v1/events", content=b"[17]")
    text = server.http.get("/metrics").text
    assert 'runherald_intake_events_total{topic="runherald.events"} 1.0' in text
    assert "runherald_intake_rejected_total 1.0" in text
    assert 'runherald_processor_lag{partition="0",processor="history",topic="runherald.events"} 0.0' in text
    assert "runherald_dead_letters 0.0" in text
    assert "runherald_history_up 1.0" in text
    assert 'route="/api/v1/runs",status="200"' in text


def test_dead_letters_and_lag_are_counted(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, processing=False) as server:
        server.post([Teller("r").created()])
        status = msgspec.convert(server.get("/api/v1/status"), ServerStatus)
        lags = {(one.processor, one.lag) for one in status.partitions if one.topic == EVENTS}
        assert ("history", 1) in lags


def test_what_ails_the_server_is_told_by_its_health(history_database: HistoryDatabase, tmp_path: Path) -> None:
    ailments = ["the processor history has stopped"]
    with StudioServer(history_database, tmp_path, ailment=lambda: ailments[0]) as server:
        reply = server.http.get("/healthz")
        assert (reply.status_code, reply.text) == (503, "the processor history has stopped")
        ailments[0] = ""
        assert server.http.get("/healthz").status_code == 200


def test_health_says_no_reason_to_who_has_no_token(history_database: HistoryDatabase, tmp_path: Path) -> None:
    with StudioServer(history_database, tmp_path, token="s3cret", ailment=lambda: "history has stopped") as server:
        reply = httpx.get(f"{server.url}/healthz")
        assert (reply.status_code, "history" in reply.text) == (503, False)
        assert "with the token" in reply.text


def test_a_run_id_with_odd_characters_is_found(server: StudioServer) -> None:
    taken = server.post([Teller("a.b_c-D").created()])
    assert server.get("/api/v1/runs/a.b_c-D", taken)["run_id"] == "a.b_c-D"
