"""History against its log on the real engine: equal after the live processors, and whatever was done to a table is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runherald.events import (
    Actor,
    AmlRunEvent,
    AmlRunHeartbeatEvent,
    AmlRunLogEvent,
    AmlRunMetricEvent,
    AmlRunOutputEvent,
    AmlRunStatusChangedEvent,
    Data,
    Event,
    LogLine,
    MetricObject,
    RunHeader,
    TextPoint,
    new_event,
)
from runherald.sinks.connection import HistoryDatabase
from runherald.status import Status
from runherald.streams.rebuild.derived import derived, unaccounted
from runherald.streams.rebuild.rebuild import compare
from tests.fixtures.live_history import LiveHistory

START = datetime(2026, 11, 1, tzinfo=UTC)
MICROS = 1_793_000_000_000_000
RUN = Actor(kind="run", name="script")


@pytest.fixture
def live(history_database: HistoryDatabase, tmp_path: Path) -> Iterator[LiveHistory]:
    world = LiveHistory(tmp_path, history_database, START + timedelta(minutes=1))
    yield world
    world.close()


def test_every_table_is_made_again_or_left_with_a_reason(live: LiveHistory) -> None:
    tables = select(live, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'")
    assert unaccounted([name for (name,) in tables], []) == set()


def test_what_the_processors_made_is_equal(live: LiveHistory) -> None:
    live.say(*story("r1"), *story("r2"), *story("r1"))
    live.work()

    found = compare(live.log, live.db)

    assert found.equal, found
    made = {table.table: table.expected for table in found.tables}
    assert set(made) >= {table for each in derived() for table in each.tables}
    empty = {table for table, rows in made.items() if not rows}
    assert empty <= {"dead_letters", "dead_letter_replays", "dead_letter_stops"}, "a table without rows shows nothing"
    assert found.sources
    assert leftovers(live) == []


def story(run: str, producer: str = "p") -> list[Event]:
    """All that a run may say, once."""
    said: list[Data] = [
        AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits", tags={"a": "1", "flag": None})),
        AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN),
        AmlRunHeartbeatEvent(lease_seconds=30),
        AmlRunEvent(
            operation="Updated", tags={"a": "2"}, tags_removed=("flag",), params={"lr": "0.1", "opt": "adam"}, properties={"p": "1"}
        ),
        AmlRunEvent(operation="Updated", properties={"p": "2"}),
        AmlRunOutputEvent(path="model.bin", size=7),
        AmlRunMetricEvent(
            names=("loss", "acc"),
            series=[0, 0, 0, 1],
            steps=[0, 1, 2, 2],
            times=[MICROS, MICROS + 1, MICROS + 2, MICROS + 2],
            values=[0.5, 0.25, 0, 0.9],
            nonfinite={"2": "NaN"},
            texts=(TextPoint(name="note", step=0, time=MICROS, text="grüß"),),
            objects=(MetricObject(name="cm", kind="table", step=0, time=MICROS, value={"a": [1, None]}),),
            descriptions={"loss": "lower is better"},
        ),
        AmlRunLogEvent(
            file="console", stream="stdout", lines=(LogLine(number=0, time=MICROS, text="x"), LogLine(number=1, time=MICROS, text="y"))
        ),
        AmlRunStatusChangedEvent(status=Status.FAILED, actor=RUN, message="no"),
        AmlRunStatusChangedEvent(status=Status.RUNNING, actor=RUN),
    ]
    return [
        new_event(data, workspace="w", run_id=run, producer=producer, sequence=n, time=START + timedelta(seconds=n))
        for n, data in enumerate(said)
    ]


def select(live: LiveHistory, query: str) -> Sequence[Sequence[Any]]:
    found: Sequence[Sequence[Any]] = live.db.client().query(query).result_rows
    return found


def leftovers(live: LiveHistory) -> list[str]:
    return [name for (name,) in select(live, "SELECT name FROM system.databases WHERE name LIKE '%rebuild'")]
