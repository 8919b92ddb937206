"""Metrics and logs on the real engine: every point as it was logged, once, whatever comes twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from runherald.events import AmlRunLogEvent, AmlRunMetricEvent, Data, LogLine, MetricObject, TextPoint, new_event
from runherald.records import Record, TopicPartition
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.streams.columns import ColumnProcessor
from runherald.streams.logs import logs_processor
from runherald.streams.metrics import metrics_processor
from runherald.topics import DEAD_LETTERS, METRICS
from tests.fixtures.faulty_history import FaultyHistory
from tests.fixtures.placed import placed_all

START = datetime(2026, 11, 1, tzinfo=UTC)
MICROS = 1_793_000_000_000_000


@pytest.fixture
def history(history_database: HistoryDatabase) -> FaultyHistory:
    migrate(history_database)
    return FaultyHistory(history_database)


def metrics(history: FaultyHistory) -> ColumnProcessor:
    return metrics_processor(history.as_database, lambda: START)


def logs(history: FaultyHistory) -> ColumnProcessor:
    return logs_processor(history.as_database, lambda: START)


def events_of(*payloads: Data, run: str = "run-1", first: int = 0) -> list[Record]:
    return placed_all(
        (new_event(data, workspace="w", run_id=run, producer="p", sequence=n, time=START) for n, data in enumerate(payloads)), first
    )


def points(name: str, steps: Sequence[int], values: Sequence[float], **extra: Any) -> AmlRunMetricEvent:
    times = [MICROS + step for step in steps]
    return AmlRunMetricEvent(names=(name,), series=[0] * len(steps), steps=list(steps), times=times, values=list(values), **extra)


def select(history: FaultyHistory, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in history.client().query(query).result_rows]


async def run_through(subject: ColumnProcessor, records: list[Record]) -> None:
    assert await subject.process(records) == []
    assert await subject.flush() == []


async def test_points_are_what_was_logged(history: FaultyHistory) -> None:
    batch = AmlRunMetricEvent(
        names=("loss", "acc"),
        series=[0, 1, 0, 0],
        steps=[0, 0, 1, -(2**62)],
        times=[MICROS, MICROS + 1, MICROS + 2, MICROS + 3],
        values=[0.1, 0.5, 1e-308, -7.25],
    )
    await run_through(metrics(history), events_of(batch))

    found = select(history, "SELECT name, step, toUnixTimestamp64Micro(time), value FROM metrics ORDER BY time")
    assert found == [
        ("loss", 0, MICROS, 0.1),
        ("acc", 0, MICROS + 1, 0.5),
        ("loss", 1, MICROS + 2, 1e-308),
        ("loss", -(2**62), MICROS + 3, -7.25),
    ]


async def test_nan_and_infinities_are_values(history: FaultyHistory) -> None:
    odd = points("loss", [0, 1, 2, 3], [0, 0, 0, 4.0], nonfinite={"0": "NaN", "1": "Infinity", "2": "-Infinity"})
    await run_through(metrics(history), events_of(odd, odd))
    await run_through(metrics(history), [replace(record, offset=record.offset + 9) for record in events_of(odd)])

    values = [value for (value,) in select(history, "SELECT value FROM metrics ORDER BY step")]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 4.0]


async def test_two_values_of_one_step_and_moment_are_two_points(history: FaultyHistory) -> None:
    await run_through(metrics(history), events_of(points("loss", [1, 1], [0.5, 0.25])))

    assert select(history, "SELECT value FROM metrics ORDER BY value") == [(0.25,), (0.5,)]


async def test_texts_objects_and_descriptions(history: FaultyHistory) -> None:
    first = AmlRunMetricEvent(
        texts=(TextPoint(name="note", step=0, time=MICROS, text="grüß"), TextPoint(name="note", step=0, time=MICROS, text="again")),
        objects=(MetricObject(name="cm", kind="confusion_matrix", step=0, time=MICROS, value={"z": [1, None], "a": 10**30}),),
        descriptions={"loss": "lower is better"},
    )
    await run_through(metrics(history), events_of(first, AmlRunMetricEvent(descriptions={"loss": "still"})))

    assert select(history, "SELECT name, kind, value FROM objects ORDER BY ALL") == [
        ("cm", "confusion_matrix", '{"z":[1,null],"a":1000000000000000000000000000000}'),
        ("note", "text", "again"),
        ("note", "text", "grüß"),
    ]
    assert select(history, "SELECT name, description FROM metric_descriptions FINAL") == [("loss", "still")]


async def test_a_series_is_named_once_and_again_after_a_restart(history: FaultyHistory) -> None:
    subject = metrics(history)
    for first in range(3):
        await run_through(subject, events_of(points("loss", [first], [1.0]), first=first))
    assert [table for table, _ in history.inserts].count("metric_series") == 1

    await run_through(metrics(history), events_of(points("loss", [3], [1.0]), first=3))
    assert [table for table, _ in history.inserts].count("metric_series") == 2
    assert select(history, "SELECT step FROM metrics ORDER BY step") == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("crash_at", range(4))
@pytest.mark.parametrize("stored", [False, True])
async def test_a_crash_at_any_insert_costs_nothing(history: FaultyHistory, crash_at: int, stored: bool) -> None:
    records = events_of(*(points("loss", [step, step + 100], [step, 0.5], descriptions={"loss": str(step)}) for step in range(6)))
    order = iter(range(9))

    def crash(_table: str, _columns: dict[str, Any]) -> None:
        if next(order) == crash_at:
            raise RuntimeError("the process dies")

    if stored:
        history.after = crash
    else:
        history.before = crash
    subject = metrics(history)
    await subject.process(records[:4])
    with pytest.raises(RuntimeError):
        await subject.flush()
    history.before = history.after = lambda _table, _columns: None

    await run_through(metrics(history), records)

    expected = sorted([(step, float(step)) for step in range(6)] + [(step + 100, 0.5) for step in range(6)])
    assert select(history, "SELECT step, value FROM metrics ORDER BY step") == expected
    assert select(history, "SELECT description FROM metric_descriptions FINAL") == [("5",)]
    assert select(history, "SELECT max(last) FROM ingest_watermarks") == [(5,)]


async def test_what_is_stored_is_dropped(history: FaultyHistory) -> None:
    records = events_of(points("loss", [0], [1.0]), points("loss", [1], [1.0]))
    await run_through(metrics(history), records[:1])

    subject = metrics(history)
    await subject.assigned({TopicPartition(METRICS, 0): 2})
    await subject.process(records)
    assert subject.pending == 1


async def test_what_is_revoked_is_not_written(history: FaultyHistory) -> None:
    subject = metrics(history)
    await subject.process(events_of(points("loss", [0], [1.0])))
    await subject.revoked([TopicPartition(METRICS, 0)])

    assert subject.pending == 0
    await subject.flush()
    assert history.inserts == []


async def test_poison_between_batches(history: FaultyHistory) -> None:
    long = replace(points("loss", [0], [1.0]), steps=[1, 2])
    records = events_of(points("loss", [0], [1.0]), long, points("loss", [2], [1.0]), points("a\x07b", [3], [1.0]))
    subject = metrics(history)

    letters = await subject.process(records)
    await subject.flush()

    assert [(letter.topic, dict(letter.headers)["rh_origin_offset"]) for letter in letters] == [(DEAD_LETTERS, b"1"), (DEAD_LETTERS, b"3")]
    assert b"data.steps" in dict(letters[0].headers)["rh_reason"]
    assert b"U+0007" in dict(letters[1].headers)["rh_reason"]
    assert select(history, "SELECT step FROM metrics ORDER BY step") == [(0,), (2,)]


async def test_points_of_many_months_are_one_insert(history: FaultyHistory) -> None:
    month = 31 * 86_400 * 1_000_000
    far = AmlRunMetricEvent(
        names=("loss",), series=[0] * 130, steps=list(range(130)), times=[n * month for n in range(130)], values=[1.0] * 130
    )
    await run_through(metrics(history), events_of(far))

    assert select(history, "SELECT count() FROM metrics") == [(130,)]


async def test_lines_of_two_processes_do_not_cover_each_other(history: FaultyHistory) -> None:
    lines = tuple(LogLine(number=number, time=MICROS + number, text=f"line {number}\n\\ 'x'") for number in range(3))
    records = events_of(AmlRunLogEvent(lines=lines), AmlRunLogEvent(lines=lines))
    other = new_event(AmlRunLogEvent(lines=lines[:1]), workspace="w", run_id="run-1", producer="q", sequence=0, time=START)
    await run_through(logs(history), records + placed_all([other], 2))

    found = select(history, "SELECT producer, number, text FROM logs ORDER BY ALL")
    assert found == [("p", n, line.text) for n, line in enumerate(lines)] + [("q", 0, lines[0].text)]
