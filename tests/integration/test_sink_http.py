"""The sink over HTTP: replies get lost, the server answers 500, and history is what it would have been."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
from msgspec.structs import replace

from runherald.deploy.local_clickhouse import LocalClickHouse
from runherald.events import Actor, AmlRunEvent, AmlRunMetricEvent, AmlRunStatusChangedEvent, Data, RunHeader, new_event
from runherald.records import Record
from runherald.sinks.connection import HistoryDatabase
from runherald.sinks.migrate import migrate
from runherald.sinks.retry import Retry
from runherald.status import Status
from runherald.streams.history import history_processor
from runherald.streams.metrics import metrics_processor
from tests.fixtures.parts import missing
from tests.fixtures.placed import placed_all

START = datetime(2026, 11, 1, tzinfo=UTC)
MICROS = 1_793_000_000_000_000
_numbers = count(1)


@pytest.fixture
def history(clickhouse: LocalClickHouse) -> Iterator[HistoryDatabase]:
    db = HistoryDatabase.open(clickhouse.url, database=f"sink_http_{next(_numbers)}")
    migrate(db)
    yield db
    db.client().command(f"DROP DATABASE {db.database} SYNC")
    db.close()


@pytest.fixture
def gateway(clickhouse: LocalClickHouse) -> Iterator[LocalClickHouse]:
    if not clickhouse.gateway:
        missing("a real ClickHouse server cannot be told to fail")
    yield clickhouse
    clickhouse.faults(lose_reply_after_insert=0, answer_500=0, delayed=0)


class Slept:
    """A sleep that takes no time, and how often it was asked for."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, _seconds: float) -> None:
        self.times += 1


def events_of(*payloads: Data) -> list[Record]:
    return placed_all(
        new_event(data, workspace="it's w", run_id="run-1", producer="p", sequence=n, time=START) for n, data in enumerate(payloads)
    )


def points(count: int) -> AmlRunMetricEvent:
    return AmlRunMetricEvent(
        names=("loss",),
        series=[0] * count,
        steps=list(range(count)),
        times=[MICROS + step for step in range(count)],
        values=[0.5] * count,
        nonfinite={"0": "NaN"},
    )


async def test_a_run_over_http(history: HistoryDatabase) -> None:
    subject = history_processor(history, lambda: START)
    created = AmlRunEvent(operation="Created", header=RunHeader(experiment_name="digits", tags={"a": "1"}))
    running = AmlRunStatusChangedEvent(status=Status.RUNNING, actor=Actor(kind="run"))
    records = events_of(created, running)
    await subject.process(records[:1])
    await subject.flush()

    again = history_processor(history, lambda: START)  # loads the state that the first one stored
    assert len(await again.process(records)) == 1
    await again.flush()

    run = history.client().query("SELECT status, experiment, tags, revision FROM runs").result_rows
    assert run == [("Running", "digits", {"a": "1"}, 2)]


async def test_a_lost_reply_stores_nothing_twice(history: HistoryDatabase, gateway: LocalClickHouse) -> None:
    slept = Slept()
    subject = metrics_processor(history, lambda: START, retry=Retry(sleep=slept))
    history.client().command("SYSTEM STOP MERGES metric_points")
    records = events_of(points(1), replace(points(1_000), steps=list(range(1, 1_001))))
    await subject.process(records[:1])
    await subject.flush()  # names the series, so that the next insert is of points
    await subject.process(records[1:])
    gateway.faults(lose_reply_after_insert=3)
    await subject.flush()

    assert gateway.faults()["lose_reply_after_insert"] == 0
    assert slept.times > 0  # the client's own second try was not enough
    # In parts that nothing has merged yet: it is the token that did it.
    parts = "SELECT sum(rows) FROM system.parts WHERE database = currentDatabase() AND table = 'metric_points' AND active"
    assert history.client().command(parts) == 1_001
    assert history.client().command("SELECT count() FROM metrics") == 1_001


async def test_a_server_in_trouble_is_waited_for(history: HistoryDatabase, gateway: LocalClickHouse) -> None:
    slept = Slept()
    subject = metrics_processor(history, lambda: START, retry=Retry(sleep=slept))
    await subject.process(events_of(points(100)))
    gateway.faults(answer_500=5)
    assert await subject.flush() == []

    assert slept.times > 0
    assert history.client().command("SELECT count() FROM metrics") == 100
