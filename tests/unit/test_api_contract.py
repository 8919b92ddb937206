"""The HTTP API as data: what server, SDK and command line of different versions must agree on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runherald.api import (
    ApiErrorAnswer,
    Column,
    Intake,
    MetricSeries,
    NoticeView,
    QueryAnswer,
    QueryRequest,
    Rejected,
    RunPage,
    RunView,
    ServerStatus,
    TransitionView,
    format_positions,
    latest,
    parse_positions,
)
from runherald.errors import InvalidInput
from runherald.records import Position
from runherald.topics import TOPICS

POSITIONS = st.lists(st.builds(Position, st.sampled_from(sorted(TOPICS)), st.integers(0, 99), st.integers(0, 10**15)))

SMALLEST: dict[type[msgspec.Struct], dict[str, Any]] = {
    Intake: {"accepted": 0},
    Rejected: {"index": 0, "field": "data.status", "reason": "no"},
    RunView: {"run_id": "r", "workspace": "w", "experiment_name": "e", "status": "Running"},
    RunPage: {"runs": []},
    TransitionView: {
        "run_id": "r",
        "status": "Running",
        "previous_status": "",
        "time": "2026-11-21T12:00:00Z",
        "attempt": 1,
        "revision": 1,
    },
    MetricSeries: {"run_id": "r", "name": "loss", "kind": "scalar", "steps": [0], "times": [1], "values": [0.5]},
    NoticeView: {"notice_id": "n", "run_id": "r", "rule": "run-failed", "recipient": "a@b", "subject": "s", "state": "pending"},
    QueryAnswer: {"columns": [{"name": "n", "type": "UInt64"}], "rows": [[1]]},
    QueryRequest: {"query": "SELECT 1"},
    ServerStatus: {"version": "0.1.0", "log": "embedded", "history": "embedded", "partitions": []},
    ApiErrorAnswer: {"error": {"code": "not_found", "message": "there is no such run"}},
}


@given(POSITIONS)
def test_positions_survive_the_header(positions: list[Position]) -> None:
    assert parse_positions(format_positions(positions)) == positions


@given(POSITIONS)
def test_the_latest_position_of_each_partition_is_enough(positions: list[Position]) -> None:
    furthest = {(each.topic, each.partition): each for each in latest(positions)}
    assert len(furthest) == len(latest(positions))
    assert all(furthest[each.topic, each.partition].offset >= each.offset for each in positions)
    assert set(latest(positions)) <= set(positions)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "topic/0",
        "topic/a/1",
        "topic/0/-1",
        "/0/1",
        "topic/0/1,nonsense",
        "topic/0/1/2",
        "topic/0/" + "9" * 5_000,
        "topic/" + "9" * 20 + "/0",
    ],
)
def test_a_malformed_position_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="Runherald-Position"):
        parse_positions(value)


def test_blanks_between_positions_are_no_fault() -> None:
    assert parse_positions(" a/0/1 , b/2/3,") == [Position("a", 0, 1), Position("b", 2, 3)]


@pytest.mark.parametrize("kind", SMALLEST, ids=lambda kind: kind.__name__)
def test_the_smallest_answer_is_read(kind: type[msgspec.Struct]) -> None:
    """Fields added later have defaults, so that a newer client reads an older server."""
    assert isinstance(msgspec.convert(SMALLEST[kind], kind), kind)


@pytest.mark.parametrize("kind", SMALLEST, ids=lambda kind: kind.__name__)
def test_what_a_newer_server_adds_is_ignored(kind: type[msgspec.Struct]) -> None:
    assert isinstance(msgspec.convert({**SMALLEST[kind], "added_later": {"x": [1]}}, kind), kind)


def test_answers_survive_json() -> None:
    answer = QueryAnswer(columns=[Column("a", "String")], rows=[["x"], [None], [{"k": 1}]], truncated=True)
    assert msgspec.json.decode(msgspec.json.encode(answer), type=QueryAnswer) == answer
    run = RunView(run_id="r", workspace="w", experiment_name="e", status="Running", created_time=datetime(2026, 11, 21, tzinfo=UTC))
    assert msgspec.json.decode(msgspec.json.encode(run), type=RunView) == run
